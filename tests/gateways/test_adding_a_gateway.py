"""The page about adding a gateway is enough to add one, and nothing else of the package has to change."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.acme_service import KEY, AcmeService

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "airflow_provider_smscancel"
PAGE = (ROOT / "docs" / "adding-a-gateway.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
(ENTRY,) = re.findall(r"<!-- entry -->\n```python\n(.*?)```", PAGE, re.DOTALL)
(TUPLE,) = re.findall(r"name it in the tuple below: `(\(.*?\))`", PAGE)
TEST_FILE = "tests/unit/gateways/test_acme.py"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package to which was done what the page says."""
    folder = tmp_path_factory.mktemp("third_gateway")
    shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert not (folder / name).exists()
        (folder / name).write_text(text, encoding="utf-8")
    described = folder / PACKAGE / "provider_info.py"
    text = described.read_text(encoding="utf-8")
    before, place, after = text.partition("CONNECTION_TYPES: ")
    assert place
    # Whatever gateways there are by now, and over however many lines.
    assert TUPLE.endswith(", ACME)")
    after, places = re.subn(r"(?<= for kind in \()(?=\s*[A-Z])", "ACME, ", after)
    assert places == 1
    described.write_text(f"{before}{ENTRY}\n{place}{after}")
    return folder


def run(copy: Path, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(copy), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, **options.pop("environment", {})}
    done = subprocess.run(
        [sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_it_takes_one_file_one_hook_and_one_entry() -> None:
    assert set(FILES) == {f"{PACKAGE}/gateways/acme.py", f"{PACKAGE}/hooks/acme.py", TEST_FILE}
    assert re.findall(r"^(\w+) = ", ENTRY, re.MULTILINE) == ["ACME"]


def test_the_code_of_the_page_is_in_the_style_of_the_house(copy: Path) -> None:
    settings = ("--no-cache", "--config", str(ROOT / "pyproject.toml"))
    run(copy, "-m", "ruff", "check", *settings, *FILES, f"{PACKAGE}/provider_info.py")
    run(copy, "-m", "ruff", "format", "--check", *settings, *FILES)
    # By itself: with ever more gateways, the tuple that it is named in needs more than one line.
    run(copy, "-m", "ruff", "format", "--check", *settings, "--stdin-filename", "entry.py", "-", input=ENTRY)


def test_the_tests_of_the_page_pass(copy: Path) -> None:
    done = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(copy), TEST_FILE)
    assert " passed" in done.stdout


def test_the_operator_the_trigger_and_the_command_line_cancel_through_it(copy: Path, tmp_path: Path) -> None:
    pace = {"requests_per_second": 1000, "timeout": 5}
    with AcmeService() as service:
        orders = {}
        for who in ("operator", "trigger"):
            ids = service.put_in(40)
            service.loses_the_answer_to.add(ids[7])
            orders[who] = [
                *ids,
                *service.put_in(2, "sent"),
                service.put_in(1, "failed")[0],
                "z" * 20,
                "+15550100",
            ]
        orders["command line"] = service.put_in(3)
        connection = {"conn_type": "acme", "host": service.url, "password": KEY, "extra": pace}
        environment = {
            "AIRFLOW_CONN_ACME_DEFAULT": json.dumps(connection),
            "AIRFLOW_CONN_ACME_WRONG": json.dumps({**connection, "password": "another"}),
        }
        order = json.dumps({**orders, "folder": str(tmp_path)})
        done = run(copy, "-m", "support.third_gateway", input=order, environment=environment)
        report = json.loads(done.stdout.splitlines()[-1])  # some Airflows log on standard output
        assert Path(report["package"]).is_relative_to(copy)
        assert "acme" in [each["connection-type"] for each in report["provider"]["connection-types"]]
        assert report["test"] == [True, "Acme SMS accepts the credentials."]
        assert report["wrong key"] == [False, "Acme SMS refuses the account: the API key is wrong"]
        for who in ("operator", "trigger"):
            outcomes = report[who]["outcomes"]
            assert report[who]["summary"]["gateway"] == "acme"
            assert report[who]["summary"]["total"] == len(orders[who])
            assert "4 of 45 messages were not stopped" in report[who]["error"]
            assert outcomes.pop("z" * 20) == "not_found"
            assert outcomes.pop("item 45") == "rejected"
            expected = {"cancelled": "cancelled", "sent": "too_late", "failed": "will_not_send"}
            assert outcomes == {each: expected[service.states[each]] for each in orders[who][:-2]}
        assert report["command line"] == 0
        assert {service.states[each] for each in orders["command line"]} == {"cancelled"}
        assert {service.states[each] for each in report["sent"]} == {"scheduled"}
    assert KEY not in done.stdout + done.stderr
