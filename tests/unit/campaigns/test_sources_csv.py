from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.campaigns.manifests import read_manifest
from airflow_provider_smscancel.campaigns.messages import UNDATED, Campaign
from airflow_provider_smscancel.campaigns.sources import SourceError
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest

IDS = [f"{number:032x}" for number in range(0xAB00, 0xAB00 + 400)]
ONE, TWO, THREE = IDS[:3]
NOON = datetime(2031, 5, 1, 12, tzinfo=UTC)


class Stored:
    """A file in memory that looks like a path."""

    def __init__(self, content: bytes, name: str = "m.csv") -> None:
        self._content = content
        self.name = name

    def __str__(self) -> str:
        return f"memory://{self.name}"

    def open(self, mode: str) -> io.BytesIO:
        assert mode == "rb"
        return io.BytesIO(self._content)


def read(content: str | bytes, name: str = "m.csv") -> Campaign:
    campaign = Campaign(ClickatellRest(token="t"))
    read_manifest(campaign, Stored(content.encode() if isinstance(content, str) else content, name))
    return campaign


def error_of(content: str | bytes, name: str = "m.csv") -> str:
    with pytest.raises(SourceError) as caught:
        read(content, name)
    text = str(caught.value)
    assert text.startswith(f"manifest memory://{name}: ")
    assert "\n" not in text
    return text


def rejected(campaign: Campaign) -> dict[str, str]:
    return {row.position: row.reason for row in campaign.rejected}


def test_ids_and_dates_are_read_and_other_columns_ignored():
    campaign = read(
        f"name,message_id,scheduled_at\nBob,{ONE},{NOON.isoformat()}\nEve,{TWO},soon\nAl,{THREE},\n"
    )
    assert campaign.ids == [ONE, TWO, THREE]
    assert list(campaign.due) == [NOON.timestamp(), UNDATED, UNDATED]
    assert not campaign.rejected


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_the_one_that_makes_the_column(delimiter):
    rows = [["na,me;x\ty", "message_id", "z"], ["a,b;c\td", ONE, ""], ["", TWO, ""]]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    assert read(out.getvalue()).ids == [ONE, TWO]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_every_line_end_is_known(end):
    campaign = read(end.join(["message_id", ONE, f'"{TWO}"', "b@d", ""]))
    assert campaign.ids == [ONE, TWO]
    assert list(rejected(campaign)) == ["line 4"]


@pytest.mark.parametrize(
    "header",
    [
        "\ufeffmessage_id",
        " message_id ",
        '"message_id"',
        '\ufeff"message_id"',
        "Message_ID",
        "\ufeff\ufeffmessage_id",
        "\n \nmessage_id",
    ],
)
def test_the_header_survives_how_spreadsheets_write_it(header):
    assert read(f"{header}\n{ONE}").ids == [ONE]


def test_the_exact_name_goes_before_another_case():
    assert read(f"MESSAGE_ID,message_id\nx,{ONE}\n").ids == [ONE]


def test_a_header_may_go_over_several_lines():
    campaign = read(f'"a\nb\nc",message_id\nx,{ONE}\nx,b@d\n')
    assert campaign.ids == [ONE]
    assert list(rejected(campaign)) == ["line 5"]


@pytest.mark.parametrize("content", ["", "\n\r\n  \n", "\ufeff"])
def test_an_empty_file_has_no_header(content):
    assert "is empty: no header" in error_of(content)


def test_a_header_without_rows_is_an_empty_campaign():
    assert read("message_id\n").total == 0


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("inside", ["\n", "\r\n", "\r"])
def test_line_ends_inside_a_header_are_not_taken_for_those_of_the_file(end, inside):
    content = end.join([f'"a{inside}b",message_id', f"x,{ONE}", f"y,{TWO}", ""])
    assert read(content).ids == [ONE, TWO]


def test_a_missing_column_is_named_with_what_may_have_been_meant():
    text = error_of("apiMessageId,phone,msg_id,sent\nx,y,z,a\n")
    assert "no column message_id" in text
    assert "apiMessageId, msg_id" in text
    assert "phone" not in text


@pytest.mark.parametrize(
    "column", ["David", "midnight", "Hi, did you get my message", "Sidney", "x" * 50 + "_id"]
)
def test_a_name_that_may_be_somebodys_is_not_echoed(column):
    text = error_of(f'"{column}",x\n')
    assert "no column message_id" in text
    assert column not in text


@pytest.mark.parametrize("row", [f"{ONE},api_id", "api_id,+447700900123", "api_id,2031-05-01"])
def test_a_file_without_a_header_is_told_so_and_not_echoed(row):
    text = error_of(f"{row}\n{row}\n")
    assert "looks like data" in text
    assert not any(cell in text for cell in row.split(","))


def test_the_same_column_twice_is_ambiguous():
    assert "more than once" in error_of(f"message_id,message_id\n{ONE},{TWO}\n")


def test_a_header_with_a_broken_quote_is_an_error():
    assert "quote" in error_of(f'"message_id\n{ONE}\n')


def test_a_header_of_more_than_a_mebibyte_is_an_error():
    assert "longer than 1 MiB" in error_of(b"x" * (2 << 20) + b",message_id\n")


def test_blank_lines_and_rows_of_delimiters_are_skipped():
    campaign = read(f"message_id,a\n\n{ONE},\n  \n,\n , \n{TWO},\n")
    assert campaign.ids == [ONE, TWO]
    assert not campaign.rejected


def test_rows_that_name_no_message_are_rejected_by_their_line():
    campaign = read(f"a,message_id\nx\nx,\nx,{ONE}\nx,+44 7700 900123\nx,None\na,message_id\nx,{TWO}\n")
    assert campaign.ids == [ONE, TWO]
    assert list(rejected(campaign)) == ["line 2", "line 3", "line 5", "line 6", "line 7"]
    assert not any("7700" in reason for reason in rejected(campaign).values())


def test_rows_of_an_odd_length_are_taken_when_their_id_is_beyond_doubt():
    campaign = read(f"message_id,a,b\n{ONE}\n{TWO},x,y,z\nclient-7,x,y,z\n")
    assert campaign.ids == [ONE, TWO, "client-7"]
    campaign = read(f"a,message_id,b\nx,{ONE}\nx,{TWO},y,z\nx,client-7,y,,\n")
    assert campaign.ids == [ONE, TWO, "client-7"]
    assert not campaign.rejected


@pytest.mark.parametrize("row", [f"Smith, John,{ONE},y", f"{ONE},hello", f"Smith,John,{ONE},y"])
def test_a_word_in_the_place_of_a_displaced_id_is_not_taken_for_one(row):
    campaign = read(f"name,message_id,b\n{row}\nx,{TWO},y\n")
    assert campaign.ids == [TWO]
    assert "columns" in rejected(campaign)["line 2"]


def test_invalid_bytes_cost_only_the_row_whose_id_they_are_in():
    campaign = read(
        b"message_id,name\n"
        + ONE.encode()
        + b",J\xf6rg\n"
        + TWO.encode()
        + b"\xff,x\n"
        + THREE.encode()
        + b',"\xe4"\n'
    )
    assert campaign.ids == [ONE, THREE]
    assert list(rejected(campaign)) == ["line 3"]


def test_nul_bytes_survive():
    campaign = read(f'message_id,a\n{ONE},\0\n\0,x\n{TWO},"\0,"\n')
    assert campaign.ids == [ONE, TWO]
    assert list(rejected(campaign)) == ["line 3"]


def test_a_line_of_more_than_a_mebibyte_is_skipped():
    campaign = read(f"message_id,a\n{ONE},x\n{THREE},{'y' * (3 << 20)}\n{TWO},x\nb@d,{'y' * (1 << 20)}")
    assert campaign.ids == [ONE, TWO]
    assert rejected(campaign) == dict.fromkeys(["line 3", "line 5"], "the line is longer than 1 MiB")


def test_a_line_just_above_a_mebibyte_is_skipped():
    campaign = read(f"message_id,a\n{ONE},{'y' * (1 << 20)}\n{TWO},x\n")
    assert campaign.ids == [TWO]
    assert list(rejected(campaign)) == ["line 2"]


def test_a_line_just_below_a_mebibyte_is_read():
    assert read(f"message_id,a\n{ONE},{'y' * ((1 << 20) - 40)}\n{TWO},x\n").ids == [ONE, TWO]


def test_quoted_columns_may_hold_line_ends_and_lines_are_still_counted():
    campaign = read(f'message_id,a\n{ONE},"x\n\ny, ""z""\n"\n"{TWO}","\r\n"\nb@d,x\n')
    assert campaign.ids == [ONE, TWO]
    assert list(rejected(campaign)) == ["line 8"]


CELL = st.text('ab,;\t"\n\r é', max_size=12) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(deadline=None)
@given(
    st.lists(st.tuples(CELL, CELL, CELL), max_size=12),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.integers(0, 3),
)
def test_whatever_a_csv_writer_wrote_is_read_back(cells, delimiter, line_end, quoting, column):
    # The writer leaves a newline unquoted when lines end with returns: right after the header, they look like one end.
    assume(not (line_end == "\r" and column and cells and cells[0][0].startswith("\n")))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    ids = IDS[: len(cells)]
    for message_id, row in [("message_id", ("a", "b", "c")), *zip(ids, cells, strict=True)]:
        writer.writerow([*row[:column], message_id, *row[column:]])
    campaign = read(out.getvalue())
    assert campaign.ids == ids
    assert not campaign.rejected


@pytest.mark.parametrize(("most", "some"), [("\n", "\r"), ("\r", "\n"), ("\r\n", "\r"), ("\r", "\r\n")])
def test_files_put_together_from_several_systems_lose_no_row(most, some):
    rows = [f"{message_id},x" for message_id in IDS[:9]]
    content = most.join(["message_id,a", *rows[:3], some.join(rows[3:7]), *rows[7:]])
    assert read(content).ids == IDS[:9]


BROKEN = [
    '{id},"oops,x',
    '{id},oops",x"',
    '"{id},oops,x',
    '{id},oops,"x',
    '{id},"o"ops,x',
    '{id},"o" ,x',
    '"{id}"x,o,x',
    '{id},"""',
    '{id},"",""',
    '{id},",",",',
    '"',
    '""',
    '"""',
    '"",",',
    '{id}\0,"',
    '{id},"\ufffd\n,"x',
    ",,,,,,",
    "{id}",
]
GOOD = [
    "{id},b,c",
    '"{id}","b","c"',
    '{id},"b, c",c',
    '{id},"",""',
    '{id},b,", c"',
    '{id},b,c"',
    '{id},",",","',
    '{id},",",""',
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("good", GOOD)
def test_a_broken_line_among_good_ones_costs_no_good_one(broken, good):
    lines = [good.format(id=message_id) for message_id in IDS[:250]]
    lines.insert(120, broken.format(id=IDS[300]))
    campaign = read("message_id,b,c\n" + "\n".join(lines) + "\n")
    assert [found for found in campaign.ids if found != IDS[300]] == IDS[:250]
    assert len(campaign.rejected) <= 2


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from(GOOD), min_size=1, max_size=8),
    st.text('",\r \0xé', max_size=8),
    st.integers(0, 8),
)
def test_no_good_line_is_lost_whatever_the_quotes_of_a_broken_one(goods, broken, at):
    lines = [good.format(id=message_id) for good, message_id in zip(goods, IDS, strict=False)]
    lines.insert(at, broken)
    campaign = read("message_id,b,c\n" + "\n".join(lines) + "\n")
    assert [found for found in campaign.ids if len(found) == 32] == IDS[: len(goods)]


def test_two_quotes_left_open_do_not_swallow_the_rows_between_them():
    rows = [f"order-2031-{number:04},b,c" for number in range(40)]
    broken = 'order-2031-9001,b,"oops'
    campaign = read("\n".join(["message_id,b,c", *rows[:20], broken, *rows[20:], 'order-2031-9002,b,c"']))
    assert campaign.ids == [row.partition(",")[0] for row in rows] + ["order-2031-9002"]
    assert list(rejected(campaign)) == ["line 22"]


def test_the_id_of_a_broken_line_is_not_swallowed_with_its_quote():
    campaign = read(f'name,message_id\n"oops,{ONE}\nb",{TWO}\nc,{THREE}\n')
    assert campaign.ids == [TWO, THREE]
    assert list(rejected(campaign)) == ["line 2"]


def test_an_id_never_goes_over_two_lines():
    campaign = read(f'message_id\n"ab\ncd\nef"\n{ONE}\n')
    assert ONE in campaign.ids
    assert "abcd" not in "".join(campaign.ids)
    assert "line 2" in rejected(campaign)


def test_a_quote_that_is_never_closed_costs_its_line_only():
    rows = [f"{message_id},b" for message_id in IDS]
    campaign = read("\n".join(["message_id,b", *rows[:5], f'{IDS[5]},"b', *rows[6:]]))
    assert campaign.ids == IDS[:5] + IDS[6:]
    assert list(rejected(campaign)) == ["line 7"]


def test_a_quoted_column_may_have_a_hundred_lines_and_not_many_more():
    assert read(f'message_id,a\n{ONE},"{"x" + chr(10) * 100}"\n{TWO},y\n').ids == [ONE, TWO]
    campaign = read(f'message_id,a\n{ONE},"{("x" + chr(10)) * 101}"\n{TWO},y\n')
    assert TWO in campaign.ids
    assert "line 2" in rejected(campaign)


def test_a_quote_open_over_more_than_64_kib_counts_as_never_closed():
    campaign = read(f'message_id,a\n{ONE},"{("x" * 2000 + chr(10)) * 40}"\n{TWO},y\n')
    assert campaign.ids == [TWO]
    assert "line 2" in rejected(campaign)


def test_several_lines_with_another_number_of_columns_are_no_row():
    campaign = read(f'message_id,a\n{ONE},"x\ny",z\n{TWO},y\n')
    assert campaign.ids == [TWO]
    assert list(rejected(campaign)) == ["line 2", "line 3"]


def test_lines_between_two_broken_quotes_of_the_id_column_are_not_lost():
    campaign = read('message_id\n"oops\nshort\nends"\nlast\n')
    assert campaign.ids == ["short", "last"]
    assert list(rejected(campaign)) == ["line 2", "line 4"]


def test_an_overlong_line_inside_an_open_quote_is_told_apart():
    campaign = read(f'message_id,a\n{ONE},"x\n{"y" * (2 << 20)}\n{TWO},"y"\n')
    assert campaign.ids == [TWO]
    assert list(rejected(campaign)) == ["line 2", "line 3"]
