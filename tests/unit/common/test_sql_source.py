"""A campaign read by a query, from SQLite and from a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.operating import Play, Seed, requests_so_far
from support.postgres import postgres

from airflow_provider_smscancel._airflow import AirflowFailException
from airflow_provider_smscancel.campaigns.messages import UNDATED, Campaign
from airflow_provider_smscancel.campaigns.sources import NOT_AN_ID, SourceError
from airflow_provider_smscancel.common import sql_source
from airflow_provider_smscancel.common.sql_source import read_sql
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest
from airflow_provider_smscancel.sandbox.server import SandboxServer

# Airflow's own database hooks warn about what they import from each other.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:airflow"),
    pytest.mark.filterwarnings("ignore::airflow.exceptions.AirflowProviderDeprecationWarning"),
]

ONE, TWO = "a" * 32, "b" * 32


@pytest.fixture(scope="module")
def database_server() -> Iterator[str]:
    with postgres() as uri:
        yield uri


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    uri = (
        f"sqlite:///{tmp_path}/db"
        if request.param == "sqlite"
        else request.getfixturevalue("database_server")
    )
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", uri)
    return str(request.param)


def read(sql: str, parameters: object = None) -> Campaign:
    campaign = Campaign(ClickatellRest(base_url="https://127.0.0.1", token="token-of-a-test"))
    read_sql(campaign, sql=sql, sql_conn_id="campaigns", parameters=parameters)  # type: ignore[arg-type]
    return campaign


def test_column_message_id_is_the_id_wherever_it_stands(database: str) -> None:
    campaign = read(f"select 'x' as note, '{ONE}' as MESSAGE_ID union all select 'y', '{TWO}'")
    assert sorted(campaign.ids) == [ONE, TWO]


def test_first_column_is_the_id_where_none_is_called_so(database: str) -> None:
    assert read(f"select '{ONE}' as id, 'x' as note").ids == [ONE]


def test_column_scheduled_at_orders_the_campaign(database: str) -> None:
    campaign = read(f"select '{ONE}' as message_id, '2030-01-01T00:00:00+00:00' as scheduled_at")
    assert campaign.due[0] == datetime(2030, 1, 1, tzinfo=UTC).timestamp()


def test_a_timestamp_of_the_database_counts_when_it_has_a_zone(
    database_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", database_server)
    zoned = read(f"select '{ONE}' as message_id, timestamptz '2030-01-01 02:00:00+02' as scheduled_at")
    assert zoned.due[0] == datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    naive = read(f"select '{ONE}' as message_id, timestamp '2030-01-01 02:00:00' as scheduled_at")
    assert naive.due[0] == UNDATED


def test_a_column_of_postgresqls_own_type_for_such_ids_is_read(
    database_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", database_server)
    guid = "1627aea5-8e0a-4371-9022-9b504344e724"
    assert read(f"select '{guid}'::uuid as message_id").ids == [guid]


def test_parameters_reach_the_query(database: str) -> None:
    placeholder = "?" if database == "sqlite" else "%s"
    assert read(f"select '{ONE}' as message_id where 1 = {placeholder}", (1,)).ids == [ONE]
    assert read(f"select '{ONE}' as message_id where 1 = {placeholder}", [2]).ids == []
    named, values = (":n", {"n": 1}) if database == "sqlite" else ("%(n)s", {"n": 1})
    assert read(f"select '{ONE}' as message_id where 1 = {named}", values).ids == [ONE]


def test_a_percent_sign_in_a_query_without_parameters_stays(database: str) -> None:
    assert read(f"select '{ONE}' as message_id where 'abc' like 'a%'").ids == [ONE]


def test_rows_that_name_no_message_are_rejected_by_their_number(database: str) -> None:
    campaign = read(f"select '{ONE}' as message_id union all select null union all select 'not one!'")
    assert campaign.ids == [ONE]
    assert sorted(row.position for row in campaign.rejected) == ["row 2", "row 3"]


def test_the_text_none_is_rejected_as_in_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", f"sqlite:///{tmp_path}/campaigns.db")
    campaign = read(f"select 'None' as message_id union all select 'nan' union all select '{ONE}'")
    assert campaign.ids == [ONE]
    assert {row.reason for row in campaign.rejected} == {NOT_AN_ID}


def test_a_number_is_rejected_rather_than_guessed(database: str) -> None:
    assert "quote it" in read("select 12345 as message_id").rejected[0].reason


def test_a_statement_without_rows_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # PostgreSQL refuses such a statement by itself: its cursor takes nothing else.
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", f"sqlite:///{tmp_path}/db")
    with pytest.raises(SourceError, match="one SELECT"):
        read("create table nothing_to_read (a int)")


def test_an_error_of_the_database_does_not_show_the_parameters(database: str) -> None:
    placeholder = "?" if database == "sqlite" else "%s"
    with pytest.raises(Exception, match="no_such_table") as caught:
        read(f"select message_id from no_such_table where number = {placeholder}", ("447700900123",))
    assert "447700900123" not in str(caught.value)


def test_a_connection_of_another_kind_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", '{"conn_type": "clickatell", "password": "token-of-a-test"}')
    with pytest.raises(SourceError, match="not one of a database"):
        read("select 1")


def test_rows_are_streamed_and_the_connection_is_closed(
    database_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", database_server)
    batches: list[int] = []
    real = sql_source._add_rows

    def watched(campaign: Campaign, columns: list[str], rows: object) -> None:
        # psycopg names a cursor only when it is one of the server's.
        batches.append(rows.cursor.name is not None)  # type: ignore[attr-defined]
        real(campaign, columns, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(sql_source, "_add_rows", watched)
    campaign = read("select lpad(to_hex(n), 32, '0') as message_id from generate_series(1, 30000) as n")
    assert len(campaign) == 30_000
    assert batches == [True]
    monkeypatch.setattr(sql_source, "_add_rows", real)
    others = read(
        "select pid::text from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
    )
    assert others.total == 0, "the connection of the query is still open"


def test_a_date_in_the_future_is_kept_to_the_second(database: str) -> None:
    when = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    assert (
        read(f"select '{ONE}' as message_id, '{when.isoformat()}' as scheduled_at").due[0] == when.timestamp()
    )


# -- through the operator -----------------------------------------------------------------------------------------------


def test_the_operator_cancels_what_the_query_finds(play: Play, seed: Seed, database: str) -> None:
    ids = seed(3, scheduled_at="2030-01-01T00:00:00Z")
    rows = " union all ".join(f"select '{message_id}' as message_id" for message_id in ids)
    played = play(sql=rows, sql_conn_id="campaigns")
    assert played.error is None
    assert played.summary["outcomes"]["cancelled"] == 3


def test_a_query_that_finds_nothing_is_an_empty_source(play: Play, database: str) -> None:
    nothing = "select 'x' as message_id where 1 = 0"
    assert "no message to cancel" in str(play(sql=nothing, sql_conn_id="campaigns").error)
    assert play(sql=nothing, sql_conn_id="campaigns", on_empty="succeed").error is None


def test_a_query_without_a_connection_is_a_clear_error(play: Play) -> None:
    played = play(sql="select 1")
    assert "sql needs sql_conn_id" in str(played.error)
    assert "Nothing was sent" in str(played.error)


def test_a_query_beside_another_source_is_a_clear_error(play: Play) -> None:
    assert "only one of" in str(play(sql="select 1", sql_conn_id="campaigns", message_ids=[ONE]).error)


def test_a_query_that_fails_can_be_retried_and_sends_nothing(
    play: Play, sandbox: SandboxServer, database: str
) -> None:
    played = play(sql="select message_id from no_such_table", sql_conn_id="campaigns")
    assert played.error is not None
    assert not isinstance(played.error, AirflowFailException), "the database may be back in a minute"
    assert requests_so_far(sandbox) == 0
