"""What is released: the wheel and the sdist hold what they should and nothing else, and the wheel does all that it promises."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import pytest
from support.require import require_library

import airflow_provider_smscancel
from airflow_provider_smscancel.provider_info import CONNECTION_TYPES

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "airflow_provider_smscancel"
VERSION = airflow_provider_smscancel.__version__
DIST_INFO = f"{PACKAGE}-{VERSION}.dist-info"
# What a build, a test or a linter may leave behind.
LEFT_BEHIND = {
    "__pycache__",
    ".cache",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    "dist",
    "build",
}
INSTALL = (
    "python3 -m venv .cache/tour\n. .cache/tour/bin/activate\npip install -c constraints.txt '.[sandbox]'\n"
)


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return str(done.stdout)


def files_below(folder: str) -> Iterator[str]:
    """The files of a folder of this checkout, by their paths in it."""
    for path in (ROOT / folder).rglob("*"):
        name = path.relative_to(ROOT)
        if path.is_file() and not LEFT_BEHIND & set(name.parts) and path.suffix != ".pyc":
            yield name.as_posix()


# -- what is in them ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both, the wheel being built from the sdist as an index's users may do. No index is asked for anything."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"{PACKAGE}-{VERSION}-py3-none-any.whl"


@pytest.fixture(scope="module")
def sdist(dist: Path) -> Path:
    return dist / f"{PACKAGE}-{VERSION}.tar.gz"


def test_two_files_are_built(dist: Path, wheel: Path, sdist: Path) -> None:
    assert set(dist.iterdir()) == {wheel, sdist}


def test_the_checkers_find_nothing(wheel: Path, sdist: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    run(sys.executable, "-m", "check_wheel_contents", wheel)


def test_the_wheel_holds_the_package_the_pages_and_the_examples_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    expected = {
        *files_below(PACKAGE),
        *(name.replace("dags/", f"{PACKAGE}/example_dags/", 1) for name in files_below("dags")),
        *(f"{PACKAGE}/{name}" for name in (*files_below("docs"), "README.md")),
        *(
            f"{DIST_INFO}/{name}"
            for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
        ),
    }
    assert f"{PACKAGE}/py.typed" in expected
    kinds = {Path(name).suffix for name in expected if name.startswith(f"{PACKAGE}/")}
    assert kinds == {".py", ".typed", ".md", ".png"}
    assert sorted(names) == sorted(expected)


def test_the_sdist_holds_what_building_and_testing_takes_and_nothing_else(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {each.name.partition("/")[2] for each in archive.getmembers() if each.isfile()}
    folders = (PACKAGE, "benchmarks", "compatibility", "dags", "docs", "scripts", "tests", "torture")
    single = {
        *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md"),
        *("constraints-lowest.txt", "constraints.txt", "noxfile.py", "pyproject.toml"),
        *(".gitignore", "PKG-INFO"),
    }
    assert names == {*single, *(name for folder in folders for name in files_below(folder))}


def test_the_sdist_can_be_tested(sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    # This environment finds the checkout's own as well: what is missing in the sdist would be taken from there.
    for module in sorted(path.parent.name for path in ROOT.glob("*/__init__.py")):
        code = f"import {module}; print({module}.__file__)"
        found = run(sys.executable, "-c", code, cwd=folder, env=environment).strip()
        assert Path(found).is_relative_to(folder), module
    names = ("house_rules", "provider_info", "docs", "compatibility")
    tests = [f"tests/unit/test_{name}.py" for name in names]
    some = ("-k", "link or room or schema or wrong or lowest")  # enough to see that all they read is there
    run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *some, *tests, cwd=folder, env=environment)


def test_the_metadata_says_what_the_project_says(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = HeaderParser().parsestr(archive.read(f"{DIST_INFO}/METADATA").decode())
        entry_points = archive.read(f"{DIST_INFO}/entry_points.txt").decode()
    assert metadata["Version"] == VERSION
    assert metadata["Name"] == "airflow-provider-smscancel"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra", [])) == {"parquet", "sandbox"}
    assert entry_points.split() == [
        *("[apache_airflow_provider]", "provider_info", "=", f"{PACKAGE}:get_provider_info")
    ]


def test_links_between_shipped_pages_lead_to_shipped_pages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        texts = {name: archive.read(name).decode() for name in names if name.endswith(".md")}
    in_the_repository_only = {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"}
    missing = set()
    for name, text in texts.items():
        for target in re.findall(r"\]\(([^)#\s]+)[^)\s]*\)", text):
            found = os.path.normpath(f"{Path(name).parent}/{target}").removeprefix(f"{PACKAGE}/")
            if f"{PACKAGE}/{found}" not in names and found.partition("/")[0] != "dags":
                missing.add(found)
    assert missing <= in_the_repository_only


# -- one version, one changelog --------------------------------------------------------------------------------------------


def test_the_version_is_written_in_one_place() -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert described["project"]["dynamic"] == ["version"]
    path = Path(described["tool"]["hatch"]["version"]["path"])
    assert re.findall(r"^__version__ = \"(.*)\"$", (ROOT / path).read_text(), re.MULTILINE) == [VERSION]


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert releases[0] == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", each) for each in releases[1:]]
    assert all(dated)
    assert [each[2] for each in dated if each] == sorted((each[2] for each in dated if each), reverse=True)
    assert not dated or (dated[0] and dated[0][1] == VERSION)
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


# -- the wheel where Airflow is, and nothing of this checkout ---------------------------------------------------------------


@dataclass(frozen=True)
class Fresh:
    """An environment with Airflow and the wheel, and an Airflow home in it."""

    folder: Path
    environment: dict[str, str]

    def python(self, *arguments: str | Path) -> str:
        return run(self.folder / "bin" / "python", *arguments, env=self.environment, cwd=self.folder)

    def airflow(self, *arguments: str) -> str:
        return self.python("-m", "airflow", *arguments)


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    require_library("uv")
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "--quiet", "--python", sys.executable, folder)
    pinned = ("--constraint", ROOT / "constraints.txt")
    python = ("--python", folder / "bin" / "python")
    run(*uv, "pip", "install", "--quiet", *python, *pinned, f"{wheel}[sandbox]")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    environment = {
        **kept,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": "ignore",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    made = Fresh(folder, environment)
    made.airflow("db", "migrate")
    return made


def test_airflow_lists_the_provider_and_its_hooks(fresh: Fresh) -> None:
    name = "airflow-provider-smscancel"
    listed = json.loads(fresh.airflow("providers", "list", "--output", "json"))
    assert [row["version"] for row in listed if row["package_name"] == name] == [VERSION]
    hooks = json.loads(fresh.airflow("providers", "hooks", "--output", "json"))
    found = {row["connection_type"]: row["class"] for row in hooks if row["package_name"] == name}
    assert found == {kind.name: kind.hook_class for kind in CONNECTION_TYPES.values()}


def test_airflow_shows_links_to_documentation_and_the_pages_they_name_are_there(fresh: Fresh) -> None:
    command = ("providers", "get", "airflow-provider-smscancel", "--full", "--output", "json")
    (shown,) = json.loads(fresh.airflow(*command))
    described = shown["integrations"]
    assert [each["integration-name"] for each in described] == [
        kind.label for kind in CONNECTION_TYPES.values()
    ]
    installed = Path(fresh.python("-c", f"import {PACKAGE}; print({PACKAGE}.__path__[0])").strip())
    assert installed.is_relative_to(fresh.folder)
    for each in described:
        assert each["external-doc-url"].startswith("https://")
        assert each["how-to-guide"]
        for guide in each["how-to-guide"]:
            assert (installed / guide.removeprefix("/")).is_file()


def test_the_forms_are_what_the_ui_is_served(fresh: Fresh) -> None:
    code = (
        "import json; from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService as service;"
        "found = [each.model_dump(mode='json') for each in service.hook_meta_data()];"
        "print('FOUND' + json.dumps([each for each in found if each['connection_type'] in ('clickatell', 'esendex')]))"
    )
    _, _, text = fresh.python("-c", code).rpartition("FOUND")
    served = {each["connection_type"]: each for each in json.loads(text)}
    for name, kind in CONNECTION_TYPES.items():
        assert served[name]["hook_name"] == kind.label
        assert set(served[name]["extra_fields"]) == {field.name for field in kind.extra_fields}
        assert served[name]["standard_fields"]["host"]["title"] == "Base URL"


def test_the_wheel_does_the_tour_of_the_readme(fresh: Fresh, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tour = readme.split("## Five minutes")[1].split("## Documentation")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", tour, re.MULTILINE | re.DOTALL)
    script = "".join(blocks)
    assert script.count(INSTALL) == 1
    assert script.count("8099") == 2
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    script = script.replace(INSTALL, f". {fresh.folder / 'bin' / 'activate'}\n").replace("8099", port)
    script = script.replace("smscancel.sandbox &", f"smscancel.sandbox --port {port} &\ntrap 'kill %1' EXIT")
    (tmp_path / ".cache" / "tour").mkdir(parents=True)
    environment = {name: value for name, value in fresh.environment.items() if not name.startswith("AIRFLOW")}
    done = subprocess.run(
        ["bash"], input=script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    said = done.stdout + done.stderr
    assert "Connection success!" in said, said[-5000:]
    assert "Done: cancelled 500, too_late 2 of 502 messages." in said, said[-5000:]
    (summary,) = (tmp_path / ".cache" / "tour" / "reports").glob("cancel_campaign/*/cancel/summary-*.json")
    outcomes = json.loads(summary.read_text())["outcomes"]
    assert {name: count for name, count in outcomes.items() if count} == {"cancelled": 500, "too_late": 2}
    assert done.stdout.count('"outcome": "too_late"') == 2
    assert sorted(
        path.name for path in (tmp_path / ".cache/tour/airflow/dags").iterdir() if path.is_file()
    ) == sorted(path.name for path in (ROOT / "dags").glob("*.py"))
