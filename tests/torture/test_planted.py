"""What is planted is not found again, along a part of the ways of `make torture`; and it is found once something is broken."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from airflow_provider_smscancel.campaigns import SentMessage
from airflow_provider_smscancel.transport import redaction
from torture import planted
from torture.needles import Search
from torture.planted_paths import FAULTS, attack_paths
from torture.planted_values import LICENCE_KEY, NEEDLES, SERVICES, TOKEN
from torture.witness import Witness

A_SHARE = 31
"""No divisor of how many faults, echoes or services there are: so that each run comes by all of them."""
PER_SERVICE = 2 + len(FAULTS)
ESENDEX_IN_PEACE = next(n for n, each in enumerate(SERVICES) if each.gateway == "esendex") * PER_SERVICE


def one_way(tmp_path: Path, number: int) -> Search:
    """Go one of the ways in this process."""
    search = Search(NEEDLES)
    assert attack_paths(search, tmp_path, first=number, every=10_000) == 1
    return search


def test_a_share_of_the_ways_leaves_nothing_behind(tmp_path: Path) -> None:
    row = planted.attack_paths(tmp_path / "paths", every=A_SHARE, processes=1)
    assert row.lost == 0
    assert row.held
    assert row.tried > 500


def test_a_way_that_is_not_broken_leaves_nothing_behind(tmp_path: Path) -> None:
    search = one_way(tmp_path, ESENDEX_IN_PEACE)
    assert search.hits == []
    assert search.places > 4


def test_a_key_in_a_url_that_a_library_logs_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction._QuietFilter, "filter", lambda *_: True)
    hits = one_way(tmp_path, ESENDEX_IN_PEACE).hits
    assert {(hit.needle, hit.place.rpartition(": ")[2]) for hit in hits} == {("the licence key", "logs")}


def test_a_number_in_a_repr_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SentMessage, "__repr__", lambda self: f"SentMessage({self.to})")
    hits = one_way(tmp_path, 0).hits
    assert {(hit.needle, hit.place.rpartition(": ")[2]) for hit in hits} == {
        ("a phone number at Clickatell", "results")
    }


def test_local_variables_of_a_traceback_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "forget_locals", lambda error, until: None)
    hits = one_way(tmp_path, 0).hits
    assert ("the text of a message", "tracebacks with local variables") in {
        (hit.needle, hit.place.rpartition(": ")[2]) for hit in hits
    }


def test_a_header_that_is_logged_is_found() -> None:
    search = Search(NEEDLES)
    with Witness(search) as witness:
        log = logging.getLogger("requests.anything")
        witness.call(lambda: log.debug("%s", {"Authorization": f"Bearer {TOKEN}"}))
        witness.tell("a call")
    assert [(hit.needle, hit.place) for hit in search.hits] == [("the auth token", "a call: logs")]


def test_what_goes_past_all_loggers_to_the_terminal_is_found(tmp_path: Path) -> None:
    search = Search(NEEDLES)
    (tmp_path / "output").write_text(
        f"send: b'GET /Messaging.svc/ReadMessageStatus?LicenseKey={LICENCE_KEY}'"
    )
    search.tree(tmp_path)
    assert [hit.needle for hit in search.hits] == ["the licence key"]


def test_a_leak_fails_the_row_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    row = planted.tell(
        "go some ways", 3, 30, ["the auth token (raw) in a log", "the auth token (raw) in a log"]
    )
    assert not row.held
    assert row.lost == 2
    assert capsys.readouterr().err.count("LEAK: the auth token (raw) in a log") == 1


def test_a_process_that_breaks_down_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted, "MODULE", "torture.no_such_module")
    with pytest.raises(RuntimeError, match="no_such_module"):
        planted.attack_paths(tmp_path / "paths", every=A_SHARE, processes=1)


def test_every_needle_is_long_enough_and_of_its_own() -> None:
    texts = [needle.text for needle in NEEDLES]
    assert len(set(texts)) == len(texts)
    for needle in NEEDLES:
        others = Search(each for each in NEEDLES if each is not needle)
        others.text("here", needle.text)
        assert others.hits == []
