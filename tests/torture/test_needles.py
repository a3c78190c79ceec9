"""What was planted is found again, in whatever form and wherever it was written down."""

from __future__ import annotations

import base64
import gzip
import html
import json
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode

import pytest

from torture.needles import Needle, Search, forms_of

SECRET = "p\"a'/ä s+%\\<&>=?"  # nothing in it is long enough to be found by itself
NEEDLE = Needle("the password", SECRET)


def hits_in(data: bytes, *needles: Needle) -> list[str]:
    search = Search(needles or [NEEDLE])
    search.data("here", data)
    return [str(hit) for hit in search.hits]


@pytest.mark.parametrize(
    "write",
    [
        str,
        quote,
        quote_plus,
        lambda text: quote(text, safe=""),
        lambda text: quote(text, safe="").lower(),
        lambda text: urlencode({"password": text, "user": "x"}),
        lambda text: json.dumps({"password": text}),
        lambda text: json.dumps({"password": text}, ensure_ascii=False),
        lambda text: json.dumps({"event": json.dumps(text)}),
        repr,
        ascii,
        lambda text: repr(text.encode()),
        lambda text: repr({"headers": text}),
        html.escape,
        lambda text: html.escape(text, quote=False),
        lambda text: html.escape(text).encode("ascii", "xmlcharrefreplace").decode(),
        lambda text: text.encode().hex().upper(),
        lambda text: text.encode("utf-16-be").hex(),
    ],
)
def test_every_form_of_a_text_is_found(write: Callable[[str], str]) -> None:
    assert hits_in(f"before {write(SECRET)} after".encode())
    assert not hits_in(f"before {write('another, which nobody has planted')} after".encode())


@pytest.mark.parametrize("behind", ["", "!", "!!"])
@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_found_wherever_in_a_longer_text_the_secret_stands(
    encode: Callable[[bytes], bytes], before: str, behind: str
) -> None:
    assert hits_in(b"Basic " + encode(f"{before}{SECRET}{behind}".encode())) == [
        "the password (base64) in here"
    ]


def test_a_part_that_was_cut_off_is_found() -> None:
    needle = Needle("the token", 'x"Kq7vTz93Lm"/ü')
    assert hits_in(b"Bearer Kq7vTz93Lm...", needle) == ["the token (a part, raw) in here"]


def test_a_number_is_found_in_any_spelling() -> None:
    needle = Needle("the number", "27839991234", ("839991234", "83 999 1234"))
    assert hits_in(b"+27 83 999 1234", needle)
    assert hits_in(b"0839991234", needle)
    assert not hits_in(b"0839991243", needle)


def test_a_needle_that_would_be_found_by_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="the pin"):
        Search([Needle("the pin", "1234")])


def test_no_form_is_so_short_that_it_would_be_found_by_chance() -> None:
    assert min(map(len, forms_of("x" * 9))) >= 9


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_what_is_packed_is_unpacked(pack: Callable[[bytes], bytes]) -> None:
    assert hits_in(pack(b"x" * 1000 + SECRET.encode())) == ["the password (raw) in here, unpacked"]


def test_what_looks_packed_and_is_not_is_survived() -> None:
    assert hits_in(b"\x1f\x8b and then nonsense") == []


def test_every_file_below_a_folder_is_searched_and_counted(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "one.log").write_text(f"Authorization: Bearer {SECRET}")
    (tmp_path / "logs" / "two.log.gz").write_bytes(gzip.compress(quote_plus(SECRET).encode()))
    (tmp_path / "clean.log").write_text("nothing")
    (tmp_path / quote(SECRET, safe="")).write_text("nothing")
    search = Search([NEEDLE, Needle("another", "which is nowhere")])
    search.tree(tmp_path)
    assert {hit.place for hit in search.hits} == {
        "logs/one.log",
        "logs/two.log.gz, unpacked",
        f"the name of {quote(SECRET, safe='')}",
    }
    assert search.places == 5 + 4  # names, and files
    assert search.tried == 2 * search.places


def test_every_column_of_a_database_is_searched(tmp_path: Path) -> None:
    path = tmp_path / "airflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE xcom (key TEXT, value BLOB, n INTEGER)")
        database.execute('CREATE TABLE "odd "" name" (a, b)')
        database.execute("INSERT INTO xcom VALUES ('k', ?, 1)", (zlib.compress(SECRET.encode()),))
        database.execute('INSERT INTO "odd "" name" VALUES (NULL, ?)', (json.dumps(SECRET),))
        database.commit()
    search = Search([NEEDLE], [Needle("the number in a row", "SQLite format")])
    search.file(path)
    places = {hit.place for hit in search.hits}
    assert f"{path}, table xcom, unpacked" in places
    assert f'{path}, table odd " name' in places
    assert search.places == 3  # the file, and its two tables


def test_a_marker_tells_that_the_right_places_were_searched(tmp_path: Path) -> None:
    search = Search([NEEDLE], [Needle("the campaign", "spring sale 2031")])
    search.text("a log", "campaign spring sale 2031")
    search.text("another log", "nothing")
    assert search.marked == {"the campaign": {"a log"}}
    assert search.hits == []


def test_what_becomes_known_later_is_looked_for_from_then_on() -> None:
    search = Search([NEEDLE])
    search.add([Needle("a session", "0123456789abcdef")])
    search.text("a log", "session 0123456789ABCDEF")
    assert [hit.needle for hit in search.hits] == ["a session"]


def test_a_hit_does_not_repeat_what_was_found() -> None:
    search = Search([NEEDLE])
    search.text("a log", SECRET)
    assert SECRET not in repr(search.hits) + str(search.hits[0]) + repr(NEEDLE)
