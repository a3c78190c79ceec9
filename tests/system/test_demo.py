"""The demo: what a newcomer sees first, and a check that would notice a false claim."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", ROOT / "scripts" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module
    spec.loader.exec_module(module)
    return module


def report(folder: Path, **outcomes: str) -> Path:
    rows = [
        {"message_id": message_id, "outcome": outcome, "try": 1, "finished_at": "2026-01-01T00:00:00+00:00"}
        for message_id, outcome in outcomes.items()
    ]
    folder.mkdir()
    (folder / "part-0-1-0-1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_demo_agrees_with_the_gateways_record_on_every_message(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "demo.py"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("yes, on all 1005") == 2
    assert "yes, on all 200" in done.stdout
    assert "990 cancelled, 10 too_late, 5 not_found" in done.stdout
    assert not list(tmp_path.iterdir()), "the demo left something behind"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("cancelled", "scheduled"),
        ("cancelled", "sent"),
        ("too_late", "cancelled"),
        ("unconfirmed", "cancelled"),
    ],
)
def test_demo_fails_when_the_report_says_what_the_gateway_does_not(
    demo: ModuleType, tmp_path: Path, outcome: str, state: str
) -> None:
    lane = demo.Lane(
        "x", "clickatell", {}, report(tmp_path / "report", a=outcome), ["a"], log=tmp_path / "log"
    )
    lane.log.write_text("")
    assert not demo.show([lane], {"a": state})


def test_demo_fails_when_a_message_is_missing_from_the_report(demo: ModuleType, tmp_path: Path) -> None:
    lane = demo.Lane(
        "x", "clickatell", {}, report(tmp_path / "report", a="cancelled"), ["a", "b"], log=tmp_path / "log"
    )
    lane.log.write_text("")
    assert not demo.show([lane], {"a": "cancelled", "b": "scheduled"})


def test_interrupted_demo_cleans_up(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, ROOT / "scripts" / "demo.py"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    assert process.stdout is not None
    url = ""
    for line in process.stdout:
        if line.startswith("Sandbox"):
            url = line.split(" at ")[1].split(",")[0]
        if line.startswith("Running the DAGs"):
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())
    port = int(url.rpartition(":")[2])
    listening = Path("/proc/net/tcp").read_text() if Path("/proc/net/tcp").exists() else ""
    assert f":{port:04X} 00000000:0000 0A" not in listening, "the sandbox still listens"
