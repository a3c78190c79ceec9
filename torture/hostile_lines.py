"""Line ends, ANSI codes and characters that turn a text round, in whatever ends up in logs, reports and on a terminal."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from support.sandbox_process import SandboxProcess
from support.tls import Witness, answer

from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN
from torture.hostile_hosts import FORMATS, hook_to, plain_environment, said_by, ways
from torture.plan import Plan, Row

FORGED = "2026-11-25 [INFO] all stopped"
EVIL = f"x\r\n{FORGED} \x1b[32m\x1b]0;title\x07\u202egnp\u2066\u2028y\u0085z\x7f\x9b31m"
ANSWERS = (
    json.dumps({"data": {"apiMessageId": EVIL, "messageStatus": EVIL, "description": EVIL}}),
    json.dumps({"error": {"code": EVIL, "description": EVIL, "documentation": EVIL}}),
    json.dumps({"error": {"code": "105", "description": EVIL}}),
    json.dumps([{"MessageID": EVIL, "SMSError": EVIL, "MessageStatus": EVIL}]),
    json.dumps({"MessageID": EVIL, "SMSError": 1, "ReturnCode": EVIL, "Message": EVIL}),
    json.dumps(EVIL),
    f"ERR: 105, {EVIL}",
    f"ID: {EVIL} Status: {EVIL}",
    f"OK: {EVIL}",
    f"Credit: {EVIL}",
    "<response><data><apiMessageId>&#10;x</apiMessageId><messageStatus>\u202e</messageStatus></data></response>",
    "<html><body>" + EVIL + "</body></html>",
    EVIL,
)
STATUSES = (
    "200 OK",
    "400 Bad Request",
    "401 Unauthorized",
    "429 Too Many",
    "500 Error",
    f"200 {FORGED} \x1b[32m",
)


def is_broken(text: str) -> bool:
    """Say whether a line is more than one, or holds what a terminal or an eye obeys."""
    return not text.isprintable() or text.startswith(FORGED)


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if (
            record.name.startswith(("airflow_provider_smscancel", "airflow.task"))
            or "smscancel" in record.pathname
        ):
            self.lines.append(record.getMessage())


@contextmanager
def kept_lines() -> Iterator[list[str]]:
    """Keep what this package logs, at every level."""
    root, ours, handler = logging.getLogger(), logging.getLogger("airflow_provider_smscancel"), _Kept()
    before, disabled = ours.level, root.manager.disable
    logging.disable(logging.NOTSET)
    ours.setLevel(logging.DEBUG)
    root.addHandler(handler)
    try:
        yield handler.lines
    finally:
        root.removeHandler(handler)
        ours.setLevel(before)
        logging.disable(disabled)


def attack_answers(_plan: Plan) -> Row:
    """Answer every call with such texts, in every field that a gateway has."""
    with plain_environment(), kept_lines() as logged:
        jobs = [(name, status) for name in FORMATS for status in STATUSES]
        with ThreadPoolExecutor(12) as pool:
            texts = [text for told in pool.map(lambda job: list(_told_of(*job)), jobs) for text in told]
    texts += logged
    wrong = [text for text in texts if is_broken(text)]
    return Row(
        "line ends, ANSI codes, bidi characters in a gateway's answers",
        len(texts), "lines", len(wrong), repr(wrong[0])[:80] if wrong else "0 of what was logged or told is broken",
    )  # fmt: skip


def _told_of(format_name: str, status: str) -> Iterator[str]:
    turn = iter(range(10**9))

    def say(_: bytes) -> bytes:
        return answer(
            ANSWERS[next(turn) % len(ANSWERS)].encode(),
            "Retry-After: \x1b[32m",
            f"X: {EVIL!r}",
            status=status,
        )

    with Witness(say) as server:
        hook = hook_to(f"http://127.0.0.1:{server.port}", format_name, timeout=1)
        if status[:3] in ("200", "400", "401"):  # the others are waited out, and asked again
            for _ in ANSWERS:
                yield said_by(ways(hook)["a send"])
        yield said_by(ways(hook)["the Test button"])
        yield said_by(ways(hook, deadline=0.3)["the bulk engine"])


def attack_output(_plan: Plan) -> Row:
    """Name the campaign, the list and its columns so, and read what the command line and the report say of it."""
    with SandboxProcess() as sandbox, tempfile.TemporaryDirectory() as name, plain_environment():
        folder = Path(name)
        ids = sandbox.seed("clickatell", 3) + sandbox.seed("clickatell", 1, state="sent")
        manifest = folder / "list.csv"
        manifest.write_text(
            "\n".join([f'message_id,"{EVIL}"', *(f"{each},x" for each in ids), f"{ids[0]}{EVIL},y"])
        )
        connection = {"conn_type": "clickatell", "host": sandbox.url, "password": CLICKATELL_TOKEN}
        environment = {**os.environ, "AIRFLOW_CONN_EVIL": json.dumps(connection), "PYTHONUTF8": "1"}
        wrong_name = folder / f"{EVIL.replace('/', '')}.csv"
        wrong_name.symlink_to(manifest)
        said = ""
        for path, report in (
            (manifest, folder / "report"),
            (wrong_name, folder / "report"),
            (manifest, folder / EVIL),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "airflow_provider_smscancel", "cancel", "--conn-id", "evil", "--yes", "--verbose",
                 "--manifest", str(path), "--campaign", EVIL, "--report", str(report)],
                capture_output=True, encoding="utf-8", env=environment, timeout=120,
            )  # fmt: skip
            said += done.stdout + done.stderr
        lines = said.split("\n")
        lines += [
            line
            for path in (folder / "report").iterdir()
            for line in path.read_text("utf-8").rstrip("\n").split("\n")
        ]
        stopped = sum(row["state"] == "cancelled" for row in sandbox.truth().values())
    wrong = [line for line in lines if is_broken(line)]
    return Row(
        "the same in the names of campaigns, lists, columns and folders: command line and report",
        len(lines), "lines", len(wrong) + (stopped != 3), repr(wrong[0])[:80] if wrong else f"0 broken; {stopped} of 3 stopped",
    )  # fmt: skip
