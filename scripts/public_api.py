"""Says what the users of this package rely on, in text: names, signatures, values, keys and statuses.

Usage: ``public_api.py`` prints it; ``public_api.py --write`` puts it into ``docs/api.md``. A test compares the two.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import inspect
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from handed_over import PACKAGE, indented, results

from airflow_provider_smscancel.provider_info import CONNECTION_TYPES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.md"
BLOCK = re.compile(r"(?<=<!-- public api -->\n```text\n).*?(?=```)", re.DOTALL)
LONGEST_LINE = 110

# The modules that users import from, and which of their names are theirs to use.
NAMES = {
    "": ["get_provider_info", "__version__"],
    "campaigns": [
        "CancelResult",
        "MessageRef",
        "MessageState",
        "MessageStatus",
        "Outcome",
        "SentMessage",
        "split_manifest",
    ],
    "campaigns.telling": ["tell_ending"],
    "exceptions": [
        "SmsGatewayError",
        "SmsGatewayAuthError",
        "SmsGatewayRefused",
        "SmsGatewayUnavailable",
        "SmsGatewayProtocolError",
    ],
    **{
        kind.hook_class.removeprefix(f"{PACKAGE}.").rpartition(".")[0]: [kind.hook_class.rpartition(".")[2]]
        for kind in CONNECTION_TYPES.values()
    },
    "operators.cancel_message": ["CancelMessageOperator"],
    "operators.look_at_campaign": ["LookAtCampaignOperator"],
    "triggers.cancel_messages": ["CancelMessagesTrigger"],
    "notifications.cancel_message": ["CancelMessageNotifier"],
    "links.report": ["ReportLink"],
    "sandbox": [
        "CLICKATELL_TOKEN",
        "CLICKATELL_USER",
        "CLICKATELL_PASSWORD",
        "CLICKATELL_API_ID",
        "ESENDEX_LICENSE_KEY",
    ],
    "sandbox.server": ["SandboxServer"],
}
# Public by their names only: what the rooms of this package call of each other.
INTERNAL = {"make_gateway", "service", "check_id_type", "connection_kind", "settings", "gateway"}
ATTRIBUTES = (
    "conn_type",
    "conn_name_attr",
    "default_conn_name",
    "hook_name",
    "name",
    "template_fields",
    "template_ext",
)


def main() -> None:
    """Print the text, or write it into the page."""
    with tempfile.TemporaryDirectory() as folder:
        # Airflow reads its configuration while it is imported.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        os.environ.clear()
        os.environ.update(kept, AIRFLOW_HOME=folder, AIRFLOW__CORE__LOAD_EXAMPLES="False")
        with contextlib.redirect_stdout(sys.stderr):  # Airflow logs to standard output
            text = "".join(f"{line}\n" for line in lines()).rstrip("\n") + "\n"
    if sys.argv[1:] == ["--write"]:
        page = PAGE.read_text(encoding="utf-8")
        assert BLOCK.search(page)
        PAGE.write_text(BLOCK.sub(lambda _: text, page), encoding="utf-8")
    else:
        print(text, end="")


def lines() -> Iterator[str]:
    """Say everything, line by line."""
    for module, names in NAMES.items():
        path = f"{PACKAGE}.{module}".rstrip(".")
        yield path
        for name in names:
            yield from indented(described(name, getattr(import_module(path), name)))
        yield ""
    for title, part in (
        ("connections", connections),
        ("configuration", configuration),
        ("words that parameters take", words),
        ("command line", commands),
        ("metrics", metrics),
        ("what a run hands over", results),
    ):
        yield title
        yield from indented(part())
        yield ""


# -- names ------------------------------------------------------------------------------------------------------------


def described(name: str, thing: Any) -> Iterator[str]:
    """Say what a name of a module is."""
    if inspect.isfunction(thing):
        yield from call(name, thing)
    elif not inspect.isclass(thing):
        yield f"{name}: {type(thing).__name__}" if name == "__version__" else f"{name} = {thing!r}"
    elif issubclass(thing, enum.Enum):
        yield f"enum {name}({thing.__base__.__name__})"
        yield from indented(f"{each.name} = {each.value!r}" for each in thing)
    elif issubclass(thing, Exception):
        yield from call(f"exception {name}({thing.__base__.__name__})", thing.__init__)
        yield from indented(iter(vars(thing(""))))
    elif "__dataclass_fields__" in vars(thing):  # Airflow's operators inherit from one
        frozen = "frozen " if thing.__dataclass_params__.frozen else ""  # type: ignore[attr-defined]
        yield f"{frozen}dataclass {name}"
        yield from indented(
            f"{each.name}: {each.type}{default_of(each)}" for each in dataclasses.fields(thing)
        )
    else:
        yield from call(f"class {name}", thing.__init__)
        yield from indented(members(thing))


def default_of(field: dataclasses.Field[Any]) -> str:
    """Say a field's default, if it has one."""
    return "" if field.default is dataclasses.MISSING else f" = {field.default!r}"


class Bare(str):
    """An annotation as it is written: without the quotes that a text has."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def call(name: str, function: Any) -> Iterator[str]:
    """Say how something is called, without ``self``, which nobody passes; a parameter a line where there are many."""
    found = inspect.signature(function)
    parameters = []
    for each in found.parameters.values():
        if each.name in ("self", "cls"):
            continue
        if each.kind is each.KEYWORD_ONLY and "*" not in parameters:
            parameters.append("*")
        default = each.default.value if isinstance(each.default, enum.Enum) else each.default
        parameters.append(str(each.replace(annotation=Bare(each.annotation), default=default)))
    # A constructor returns nothing that anybody sees.
    returned = "" if function.__name__ == "__init__" else f" -> {found.return_annotation}"
    line = f"{name}({', '.join(parameters)}){returned}"
    if len(line) <= LONGEST_LINE:
        yield line
        return
    yield f"{name}("
    yield from indented(f"{each}," for each in parameters)
    yield f"){returned}"


def members(kind: type) -> Iterator[str]:
    """Say a class's own attributes, properties and methods, and those that it has from others of this package."""
    for name in ATTRIBUTES:
        value = getattr(kind, name, None)
        if isinstance(value, str | tuple | list):
            yield f"{name} = {value!r}"
    for name, annotation in vars(kind).get("__annotations__", {}).items():
        if not name.startswith("_") and name not in ATTRIBUTES:
            yield f"{name}: {annotation}"
    for name in sorted(set(dir(kind)) - INTERNAL):
        owner = next((each for each in kind.__mro__ if name in vars(each)), object)
        if name.startswith("_") or not owner.__module__.startswith(PACKAGE):
            continue
        value = inspect.getattr_static(kind, name)
        if inspect.isfunction(value):
            yield from call(f"async {name}" if inspect.iscoroutinefunction(value) else name, value)
        elif isinstance(value, classmethod):
            yield from call(name, value.__func__)
        elif isinstance(value, property):
            yield f"{name} (property)"


# -- what Airflow is told ---------------------------------------------------------------------------------------------


def connections() -> Iterator[str]:
    """Say the fields of each connection type, and what else the provider's description has."""
    provider = import_module(PACKAGE)
    info = provider.get_provider_info()
    for kind in info["connection-types"]:
        yield f"{kind['connection-type']} ({kind['hook-name']}): {kind['hook-class-name']}"
        yield f"    without a host: {CONNECTION_TYPES[kind['connection-type']].default_base_url}"
        yield f"    hides {', '.join(kind['ui-field-behaviour']['hidden-fields'])}"
        for name, field in kind["conn-fields"].items():
            yield f"    {name}: {json.dumps(field['schema'])}"
    yield f"provider info: {', '.join(sorted(info))}"


def configuration() -> Iterator[str]:
    """Say the options of Airflow's configuration."""
    for section, described_section in import_module(PACKAGE).get_provider_info()["config"].items():
        for name, option in described_section["options"].items():
            yield f"[{section}] {name}: {option['type']} = {option['default']!r}"


def words() -> Iterator[str]:
    """Say the words that parameters take, and what a parameter means that is left out, where its signature does not tell."""
    parameters = import_module(f"{PACKAGE}.common.parameters")
    yield f"id_type: {', '.join(import_module(f'{PACKAGE}.gateways.base').IdType)}"
    yield f"on_empty: {', '.join(parameters.ON_EMPTY)}"
    outcomes = import_module(f"{PACKAGE}.campaigns").Outcome
    yield f"fail_on, left out: {', '.join(each for each in outcomes if each in parameters.FAIL_ON_DEFAULT)}"


def commands() -> Iterator[str]:
    """Say each command's options and exit statuses."""
    for command in import_module(f"{PACKAGE}.cli.definition").COMMANDS:
        _, _, statuses = command.description.partition("Exit status:")
        numbers = sorted({int(number) for number in re.findall(r"\b\d+\b", statuses)})
        yield f"{command.name}" + (f"; exit status {', '.join(map(str, numbers))}" if numbers else "")
        for flags, settings in command.options.items():
            said = {
                key: getattr(value, "__name__", value)
                for key, value in settings.items()
                if key not in ("help", "metavar") and getattr(value, "__name__", "")[:1] != "_"
            }
            shown = ", ".join(f"{key} {value}" for key, value in said.items())
            yield f"    {', '.join(flags)}" + (f": {shown}" if shown else "")


def metrics() -> Iterator[str]:
    """Say the names and tags of all metrics: those of a run in which everything happens once."""
    meter = import_module(f"{PACKAGE}.common.metrics").Meter
    outcomes = import_module(f"{PACKAGE}.campaigns").Outcome
    told = {}

    class Recorder:
        """Stands for Airflow's metrics."""

        def incr(self, stat: str, count: int, *, tags: dict[str, Any]) -> None:
            told[stat] = f"counter, tags {', '.join(tags)}"

        def timing(self, stat: str, dt: object, *, tags: dict[str, Any]) -> None:
            told[stat] = f"timer, tags {', '.join(tags)}"

    job = SimpleNamespace(
        service=SimpleNamespace(gateway=SimpleNamespace(name="")),
        stats=SimpleNamespace(requests=1, repeats=1, throttled=1, waited_s=1.0, finished=1),
        settled_by_this_try=lambda: dict.fromkeys(outcomes, 1),
    )
    with meter(job, conn_id="", metrics=Recorder()):
        pass
    for name in sorted(told):
        yield f"{name}: {told[name]}"


if __name__ == "__main__":
    main()
