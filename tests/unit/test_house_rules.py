"""The rooms of the house: who may import whom, and what no tracked file may hold. CONTRIBUTING.md says why."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_smscancel.provider_info import CONNECTION_TYPES

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "airflow_provider_smscancel"
MODULES = {path.relative_to(ROOT / PACKAGE).as_posix(): path for path in (ROOT / PACKAGE).rglob("*.py")}

# The rooms that translate Airflow's terms, and the one module in which the differences between its versions are settled.
AIRFLOWS_SIDE = ("hooks", "common", "links", "triggers", "operators", "notifications", "cli")
COMPATIBILITY_MODULE = "_airflow.py"

# What each room must not import, directly or inside a function: rooms of this package, and libraries.
FORBIDDEN_ROOMS = {
    "gateways": ("transport", "campaigns", "sandbox", *AIRFLOWS_SIDE),
    "transport": ("campaigns", "sandbox", *AIRFLOWS_SIDE),
    "campaigns": ("sandbox", *AIRFLOWS_SIDE),
    "sandbox": ("gateways", "transport", "campaigns", *AIRFLOWS_SIDE),
    "hooks": ("common", "links", "triggers", "operators", "notifications", "cli"),
    "common": ("links", "triggers", "operators", "notifications", "cli"),
    "links": ("common", "triggers", "operators", "notifications", "cli"),
    "triggers": ("links", "operators", "notifications", "cli"),
    "operators": ("notifications", "cli"),
    "notifications": ("links", "operators", "cli"),
    "cli": ("links", "triggers", "operators", "notifications"),
}
FORBIDDEN_LIBRARIES = {"gateways": ("requests", "aiohttp", "asyncio", "socket")}


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it; `from a import b` counts as a and as a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("room", FORBIDDEN_ROOMS)
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    forbidden = [f"{PACKAGE}.{other}" for other in FORBIDDEN_ROOMS[room]]
    forbidden += FORBIDDEN_LIBRARIES.get(room, ())
    files = {name: path for name, path in MODULES.items() if name.startswith(f"{room}/")}
    assert files
    trespasses = {
        f"{name} imports {module}"
        for name, path in files.items()
        for module in imports_of(path)
        if any(is_within(module, each) for each in forbidden)
    }
    assert trespasses == set()


def test_only_airflows_side_imports_airflow() -> None:
    airflow = ("airflow", f"{PACKAGE}.{COMPATIBILITY_MODULE.removesuffix('.py')}")
    trespasses = {
        f"{name} imports {module}"
        for name, path in MODULES.items()
        if name != COMPATIBILITY_MODULE and name.partition("/")[0] not in AIRFLOWS_SIDE
        for module in imports_of(path)
        if any(is_within(module, each) for each in airflow)
    }
    assert trespasses == set()


def test_no_import_is_relative() -> None:
    assert [name for name, path in MODULES.items() if any(each[0] == "." for each in imports_of(path))] == []


def words_of(path: Path) -> set[str]:
    """Every name and every text in a file's code. What describes the code, docstrings and comments, is not code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    described = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in described:
            found.add(str(node.value))
        for field in ("id", "attr", "arg", "name", "module", "asname"):
            if isinstance(value := getattr(node, field, None), str):
                found.add(value)
    return found


def test_no_gateway_is_named_outside_of_its_own_files_and_the_list_of_connection_types() -> None:
    names = "|".join(CONNECTION_TYPES)
    # Its own files, its hook, the one list of connection types, and the sandbox, which imitates it.
    own = re.compile(rf"(gateways|hooks)/({names})\w*\.py|provider_info\.py|sandbox/.*")
    others = {name: path for name, path in MODULES.items() if not own.fullmatch(name)}
    assert {"gateways/base.py", "hooks/base.py", "cli/commands.py"} <= set(others)
    named = {
        f"{name}: {word}"
        for name, path in others.items()
        for word in words_of(path)
        if re.search(names, word, re.IGNORECASE)
    }
    assert named == set(), (
        "a third gateway would have to be added there too: ask provider_info.CONNECTION_TYPES"
    )


def test_what_airflow_loads_at_every_start_is_light() -> None:
    program = (
        f"import sys, {PACKAGE}; {PACKAGE}.get_provider_info();"
        "print(*{'airflow', 'requests', 'aiohttp'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def tracked_files() -> list[Path]:
    """The files that git tracks."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no telling which files are tracked")
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


# Put together from pieces, so that this file does not hold what it looks for.
FOLDERS_OF_ONE_MACHINE = ("tm" + "p", "roo" + "t", "wor" + "k", "hom" + "e")
REGISTRY_HOSTS = ("py" + "pi.org", "python" + "hosted.org", "deb." + "debian.org", "npm" + "js.")


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(rf"(?<![\w.}}])/(?:{'|'.join(FOLDERS_OF_ONE_MACHINE)})/\w", id="paths of one machine"),
        pytest.param("|".join(map(re.escape, REGISTRY_HOSTS)), id="hosts of package registries"),
    ],
)
def test_no_tracked_file_holds(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked_files()
        if (match := re.search(pattern, path.read_text(encoding="utf-8", errors="replace")))
    ]
    assert found == []
