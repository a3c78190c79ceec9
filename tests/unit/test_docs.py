"""The documentation says what is there: links, parameters, defaults, texts and examples are held against the code."""

from __future__ import annotations

import ast
import contextlib
import inspect
import json
import re
import shlex
import sqlite3
import string
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from airflow.models.connection import Connection

from airflow_provider_smscancel import exceptions
from airflow_provider_smscancel.campaigns import CancelResult, Outcome
from airflow_provider_smscancel.campaigns.job import duration
from airflow_provider_smscancel.campaigns.journal import Journal, report_line
from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.notifications.cancel_message import CancelMessageNotifier
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.provider_info import CONNECTION_TYPES, ConnectionType, ExtraField
from airflow_provider_smscancel.sandbox.faults import KINDS
from airflow_provider_smscancel.sandbox.server import SandboxServer

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
HOOKS: dict[str, type[SmsGatewayHook]] = {
    name: resolve_name(kind.hook_class) for name, kind in CONNECTION_TYPES.items()
}
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def page(name: str) -> str:
    return text_of(DOCS / name)


def rows_of(text: str) -> list[list[str]]:
    """The cells of every row of every table."""
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.lstrip().startswith("|")
    ]


def examples(text: str, kind: str) -> list[tuple[str, str]]:
    """What an HTML comment says about the fenced block below it, and that block."""
    return re.findall(rf"<!-- {kind}: (.*?) -->\n```\w*\n(.*?)```", text, re.DOTALL)


# -- links --------------------------------------------------------------------------------------------------------------


def anchors_of(path: Path) -> set[str]:
    """The anchors of a page's headings, as the usual hosts make them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text_of(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[Path, str]]:
    for path in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text_of(path))):
            yield path, target


@pytest.mark.parametrize(
    ("path", "target"), [pytest.param(*link, id=f"{link[0].name} {link[1]}") for link in links()]
)
def test_a_link_leads_to_something_that_is_there(path: Path, target: str) -> None:
    if target.startswith("https://"):
        assert path.name == "CHANGELOG.md", "only the changelog names pages outside of the repository"
        return
    name, _, anchor = target.partition("#")
    found = (path.parent / name).resolve() if name else path
    assert found.exists()
    assert found.is_relative_to(ROOT)
    if anchor:
        assert anchor in anchors_of(found)


def test_every_page_is_reached_from_the_readme() -> None:
    named = {target.partition("#")[0] for path, target in links() if path.name == "README.md"}
    assert {f"docs/{path.name}" for path in DOCS.glob("*.md")} <= named


def test_every_gateway_has_a_page() -> None:
    assert {f"{name}.md" for name in CONNECTION_TYPES} <= {path.name for path in DOCS.glob("*.md")}


def test_every_picture_is_shown_somewhere_and_is_small() -> None:
    shown = {(path.parent / target).resolve() for path, target in links() if target.endswith(".png")}
    assert set((DOCS / "pictures").iterdir()) == shown
    assert [picture.name for picture in shown if picture.stat().st_size > 150_000] == []


# -- what is in tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [(CancelMessageOperator, "operator.md"), (CancelMessageNotifier, "when-something-else-fails.md")],
)
def test_every_parameter_is_documented_with_whether_it_is_templated(kind: Any, name: str) -> None:
    parameters = [
        parameter.name
        for parameter in inspect.signature(kind.__init__).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    described = {
        parameter: row[2] for row in rows_of(page(name)) if len(row) == 4 for parameter in row[0].split(", ")
    }
    assert parameters
    for parameter in parameters:
        templated = "yes" if parameter in kind.template_fields else "no"
        assert described.get(f"`{parameter}`") == templated, parameter


def said_of(extra: ExtraField) -> tuple[str, str]:
    """The default and the range of an extra field, as the page writes them."""
    if extra.choices:
        bounds = ", ".join(f"`{choice}`" for choice in extra.choices)
    elif extra.maximum is not None:
        bounds = f"{extra.minimum:g} to {extra.maximum:g}"
    else:
        bounds = "any text"
    return ("none" if extra.default is None else f"`{extra.default}`"), bounds


@pytest.mark.parametrize("kind", CONNECTION_TYPES.values(), ids=lambda kind: kind.name)
def test_every_extra_field_is_documented_with_its_default_and_its_range(kind: ConnectionType) -> None:
    section = page("connections.md").split(f"Extra fields of `{kind.name}`:")[1].split("\n\n")[1]
    described = {row[0]: (row[1], row[2]) for row in rows_of(section)[2:]}
    assert described == {f"`{extra.name}`": said_of(extra) for extra in kind.extra_fields}
    assert f"`{kind.default_base_url}`" in page("connections.md")
    assert f"`{kind.default_conn_id}`" in page("connections.md")


def test_every_outcome_is_in_the_readme() -> None:
    first_cells = [row[0] for row in rows_of(text_of(ROOT / "README.md"))]
    assert {f"`{outcome}`" for outcome in Outcome} <= set(first_cells)


def test_every_kind_of_fault_is_documented_in_the_words_of_the_code() -> None:
    described = {row[0]: row[1] for row in rows_of(page("sandbox.md")) if len(row) == 2}
    assert {kind: described.get(f"`{kind}`") for kind in KINDS} == KINDS


def test_every_method_of_the_hooks_and_every_error_is_documented() -> None:
    text = page("hooks.md")
    methods = {
        name
        for hook in HOOKS.values()
        for name, member in inspect.getmembers(hook, inspect.isfunction)
        if not name.startswith("_") and member.__module__.startswith("airflow_provider_smscancel.hooks")
    }
    internal = {"make_gateway", "service", "check_id_type"}
    assert {name for name in methods - internal if f"{name}(" not in text} == set()
    errors = [name for name in vars(exceptions) if name.startswith("SmsGateway")]
    assert {name for name in errors if f"`{name}`" not in text} == set()


def test_the_table_of_durations_is_computed_from_the_rate() -> None:
    table = page("on-call.md").split("<!-- table: how long -->")[1].strip().split("\n\n")[0]
    header, _, *rows = rows_of(table)
    rates = [int(cell.split()[0]) for cell in header[1:]]
    assert rates
    assert rows
    for count, *cells in rows:
        assert cells == [duration(int(count) / rate) for rate in rates]


# -- connections --------------------------------------------------------------------------------------------------------

CONNECTION_EXAMPLES = examples(page("connections.md"), "connection")


def connection_of(command: str) -> str:
    """What a shell command makes a connection of, in the form that an environment variable has."""
    words = shlex.split(command)
    if words[0] == "export":
        assert words[1].startswith("AIRFLOW_CONN_")
        return words[1].partition("=")[2]
    assert words[:3] == ["airflow", "connections", "add"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    if "--conn-json" in options:
        return options["--conn-json"]
    if "--conn-uri" in options:
        return options["--conn-uri"]
    fields = {name.removeprefix("--conn-").replace("type", "conn_type"): options[name] for name in options}
    assert fields.keys() <= {"conn_type", "host", "port", "schema", "login", "password", "extra"}
    return json.dumps(fields)


def hook_of(monkeypatch: pytest.MonkeyPatch, connection: str) -> Any:
    monkeypatch.setenv("AIRFLOW_CONN_OF_THE_DOCS", connection)
    is_json = connection.startswith("{")
    conn_type = json.loads(connection)["conn_type"] if is_json else Connection(uri=connection).conn_type
    return HOOKS[conn_type]("of_the_docs")


def test_there_are_examples_of_connections_in_every_form() -> None:
    commands = " ".join(command for _, command in CONNECTION_EXAMPLES)
    for form in ("='{", "='clickatell://", "='esendex://", "--conn-json", "--conn-uri", "--conn-type"):
        assert form in commands
    assert page("connections.md").count("<!-- connection:") == len(CONNECTION_EXAMPLES)


@pytest.mark.parametrize(("expected", "command"), CONNECTION_EXAMPLES)
def test_an_example_of_a_connection_makes_the_gateway_that_it_is_for(
    monkeypatch: pytest.MonkeyPatch, expected: str, command: str
) -> None:
    hook = hook_of(monkeypatch, connection_of(command))
    assert f"{type(hook.gateway).__name__} {hook.gateway.base_url}" == expected


@pytest.mark.parametrize(
    "command", [command for expected, command in CONNECTION_EXAMPLES if ":8099" in expected]
)
def test_an_example_of_a_connection_to_the_sandbox_works_there(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    with SandboxServer() as sandbox:
        port = sandbox.url.rpartition(":")[2]
        hook = hook_of(monkeypatch, connection_of(command).replace("8099", port))
        assert hook.test_connection() == (True, f"{hook.gateway.label} accepts the credentials.")


# -- texts --------------------------------------------------------------------------------------------------------------

SOMETHING = "…"
_PERCENT = re.compile(r"%(?:\.\d+)?[dsrgf]")


def plain(text: str) -> str:
    """A text as a person reads it, with an ellipsis for each part that differs."""
    text = _PERCENT.sub(SOMETHING, text)
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError:
        return text
    if any(name is not None and not name.isidentifier() for _, name, _, _ in pieces):
        return text
    return "".join(literal + (SOMETHING if name is not None else "") for literal, name, _, _ in pieces)


@cache
def texts_of_the_code() -> frozenset[str]:
    found = set()
    for path in [*(ROOT / "airflow_provider_smscancel").rglob("*.py"), *(ROOT / "dags").glob("*.py")]:
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else SOMETHING for part in node.values]
                found.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(plain(node.value))
    return frozenset(found)


def quoted_texts() -> list[str]:
    return re.findall(r"^### `(.*)`$", page("troubleshooting.md"), re.MULTILINE)


def is_a_text_of_the_code(quoted: str) -> bool:
    """Whether some text reads so, where an ellipsis in the quotation stands for anything, also for nothing."""
    pattern = ".*".join(re.escape(piece) for piece in quoted.split(SOMETHING))
    return any(re.search(pattern, text) for text in texts_of_the_code())


def test_there_are_texts_to_check() -> None:
    assert len(quoted_texts()) > 40
    assert not is_a_text_of_the_code("This text is … in no source")


@pytest.mark.parametrize("quoted", quoted_texts())
def test_a_text_that_troubleshooting_explains_is_one_of_the_code(quoted: str) -> None:
    assert len(quoted.replace(SOMETHING, "").strip()) >= 15
    assert is_a_text_of_the_code(quoted)


# -- commands -----------------------------------------------------------------------------------------------------------


def report_in(folder: Path) -> None:
    """A report of two tries. The second ran where the clock is behind, and settled what the first had left open."""

    def line(message_id: str, outcome: Outcome, try_number: int, minute: int) -> str:
        finished_at = datetime(2030, 1, 1, 9, minute, tzinfo=UTC)
        return report_line(CancelResult(message_id, outcome, None, "", 1, finished_at), try_number)

    first = [
        line("one", Outcome.CANCELLED, 1, 30),
        line("two", Outcome.UNCONFIRMED, 1, 30),
        line("three", Outcome.TOO_LATE, 1, 30),
    ]
    second = [line("two", Outcome.CANCELLED, 2, 20), line("two", Outcome.UNCONFIRMED, 2, 10)]
    (folder / "part-00000000-2-bbbb-000001.jsonl").write_text("\n".join(second) + "\n")
    (folder / "part-00000000-1-aaaa-000001.jsonl").write_text("\n".join(first) + "\n")
    (folder / "run-00000000.json").write_text("{}\n")


def test_the_names_of_part_files_are_as_documented() -> None:
    assert "`part-<owner>-<try>-<writer>-<n>.jsonl`" in page("report.md")
    assert 'f"part-{self.owner}-{self.try_number}-{self._writer}-' in inspect.getsource(Journal)


@pytest.mark.parametrize(("what", "command"), examples(page("report.md"), "run"))
def test_a_command_that_reads_a_report_counts_the_last_line_of_each_message(
    what: str, command: str, tmp_path: Path
) -> None:
    report_in(tmp_path)
    _, *arguments = shlex.split(command.replace("FOLDER", str(tmp_path)))
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    expected = {
        "counts": "Counter({'cancelled': 2, 'too_late': 1})",
        "not stopped": "three",
        "counts with pandas": "{'cancelled': 2, 'too_late': 1}",
        "counts with DuckDB": "{'cancelled': 2, 'too_late': 1}",
    }
    assert done.stdout.strip() == expected[what]


@pytest.mark.parametrize(("what", "query"), examples(page("report.md"), "sql"))
def test_a_query_of_a_report_counts_the_last_line_of_each_message(
    what: str, query: str, tmp_path: Path
) -> None:
    report_in(tmp_path)
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute('CREATE TABLE report (message_id, outcome, "try", finished_at)')
        for part in tmp_path.glob("part-*.jsonl"):
            for row in map(json.loads, part.read_text().splitlines()):
                values = [row[name] for name in ("message_id", "outcome", "try", "finished_at")]
                database.execute("INSERT INTO report VALUES (?, ?, ?, ?)", values)
        assert what == "counts"
        assert database.execute(query).fetchall() == [("cancelled", 2), ("too_late", 1)]


def test_python_and_json_in_the_docs_can_be_read() -> None:
    for path in PAGES:
        for language, block in re.findall(
            r"^```(python|json)\n(.*?)^```", text_of(path), re.MULTILINE | re.DOTALL
        ):
            if language == "python":
                ast.parse(block)
            elif "\n{" in block:
                for line in block.splitlines():
                    json.loads(line)
            else:
                json.loads(block)
