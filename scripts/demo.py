"""The main job, for real: Airflow cancels a campaign of 2,000 messages at both gateways of the sandbox.

Starts the sandbox on a free loopback port, schedules 1,000 messages on each gateway through the hooks (ten of them have left
already, five ids are wrong), runs the example DAGs with ``airflow dags test`` in a throw-away ``AIRFLOW_HOME``, and compares the
report of every single message with the sandbox's own record. Exit status 0: they agree.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PER_GATEWAY = 1000
SENT_ALREADY = 10
WRONG_IDS = 5
REHEARSAL = 200
RECIPIENTS_PER_REQUEST = 50
LIMIT_S = 240

CREDENTIALS = {
    "clickatell": {"password": "sandbox-token"},
    "esendex": {"password": "5a9dbe5a-0000-4000-8000-5a9dbe5a0000"},
}
WRONG = {
    "clickatell": [f"{n:032x}" for n in range(1, WRONG_IDS + 1)],
    "esendex": [f"00000000-0000-4000-8000-{n:012d}" for n in range(1, WRONG_IDS + 1)],
}
AGREES = {
    "cancelled": {"cancelled"},
    "already_cancelled": {"cancelled"},
    "too_late": {"sent"},
    "will_not_send": {"failed"},
    "not_found": {None},
}
"""Which states in the gateway's own record an outcome agrees with. Any other outcome claims nothing."""


def say(text: str) -> None:
    """Tell what is going on."""
    print(text, flush=True)


@dataclass
class Lane:
    """One run of one DAG."""

    dag_id: str
    gateway: str
    conf: dict[str, object]
    report: Path
    ids: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    log: Path = Path()
    read: int = 0
    """How many bytes of its log were shown."""


@contextlib.contextmanager
def sandbox() -> Iterator[str]:
    """Run both gateways on a free loopback port, each answer 50 ms late as from a network."""
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_smscancel.sandbox", "--port", "0", "--latency", "0.05"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http://" not in line:
            raise SystemExit("The sandbox did not start.")
        yield line.strip().rpartition(" ")[2]
    finally:
        process.terminate()
        process.wait(timeout=10)


def environment(home: Path, url: str) -> dict[str, str]:
    """Describe a throw-away Airflow that knows nothing but this checkout's DAGs and the sandbox."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    pace = {"requests_per_second": 400, "max_concurrency": 32}
    for gateway, credentials in CREDENTIALS.items():
        connection = {"conn_type": gateway, "host": url, "extra": pace, **credentials}
        env[f"AIRFLOW_CONN_{gateway.upper()}_DEFAULT"] = json.dumps(connection)
    return env | {
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__SMSCANCEL__REPORT_FOLDER": str(home / "reports"),
        "PYTHONWARNINGS": "ignore",
    }


def migrated_database(url: str) -> Path:
    """Make Airflow's empty database, once for this set of packages; later runs copy it."""
    versions = hashlib.sha256((ROOT / "constraints.txt").read_bytes()).hexdigest()[:12]
    database = ROOT / ".cache" / f"airflow-{versions}.db"
    if not database.exists():
        say("Making Airflow's database (once, about 10 s) …")
        with tempfile.TemporaryDirectory() as made:
            subprocess.run(
                [BIN / "airflow", "db", "migrate"],
                env=environment(Path(made), url),
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            database.parent.mkdir(exist_ok=True)
            unfinished = database.with_suffix(".part")
            shutil.copy(Path(made) / "airflow.db", unfinished)
            unfinished.replace(database)
    return database


def schedule(gateway: str, url: str, manifest: Path) -> list[str]:
    """Schedule a campaign through the wire, some of it too early to be stopped, and write its manifest."""
    from airflow_provider_smscancel.provider_info import CONNECTION_TYPES
    from airflow_provider_smscancel.transport.settings import read_settings
    from airflow_provider_smscancel.transport.sync import SyncTransport

    kind = CONNECTION_TYPES[gateway]
    settings = read_settings(
        kind, host=url, port=None, schema=None, login=None, extra={}, **CREDENTIALS[gateway]
    )
    if gateway == "clickatell":
        from airflow_provider_smscancel.gateways.clickatell import ClickatellRest

        service = ClickatellRest(base_url=url, token=settings.password, response_format="json")
    else:
        from airflow_provider_smscancel.gateways.esendex import EsendexUs

        service = EsendexUs(base_url=url, licence_key=settings.password, request_format="json")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    numbers = [f"44770090{n:04d}" for n in range(PER_GATEWAY)]
    rows: list[tuple[str, str]] = []
    with SyncTransport(url, timeout=10) as transport:
        batches = [numbers[:SENT_ALREADY]]
        batches += [
            numbers[start : start + RECIPIENTS_PER_REQUEST]
            for start in range(SENT_ALREADY, PER_GATEWAY, RECIPIENTS_PER_REQUEST)
        ]
        for number, batch in enumerate(batches):
            when = tomorrow if number else None
            request = service.send(batch, "A wrong price", scheduled_at=when, client_message_id=None)
            sent = service.read_send(batch, transport.send(request))
            assert isinstance(sent, list), sent
            rows += [(message.message_id or "", tomorrow.isoformat()) for message in sent]
    rows += [(wrong, tomorrow.isoformat()) for wrong in WRONG[gateway]]
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([("message_id", "scheduled_at"), *rows])
    return [message_id for message_id, _ in rows]


def run(lanes: list[Lane], home: Path, url: str, database: Path) -> None:
    """Run all DAGs at the same time, each in an Airflow of its own."""
    for number, lane in enumerate(lanes):
        own = home / f"airflow-{number}"
        own.mkdir()
        shutil.copy(database, own / "airflow.db")
        lane.log = own / "run.log"
        with lane.log.open("wb") as log:
            lane.process = subprocess.Popen(
                [BIN / "airflow", "dags", "test", lane.dag_id, "-c", json.dumps(lane.conf)],
                env=environment(own, url),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    began = time.monotonic()
    waiting = list(lanes)
    while waiting and time.monotonic() - began < LIMIT_S:
        for lane in waiting:
            show_news(lane)
        for lane in [lane for lane in waiting if lane.process and lane.process.poll() is not None]:
            waiting.remove(lane)
            say(f"  {lane.dag_id} ({lane.gateway}) is done after {time.monotonic() - began:.0f} s")
        time.sleep(0.1)


def show_news(lane: Lane) -> None:
    """Print what the operator has told its task's log since the last time."""
    with lane.log.open("rb") as log:
        log.seek(lane.read)
        news = log.read()
    complete = news[: news.rfind(b"\n") + 1]
    lane.read += len(complete)
    for line in complete.decode(errors="replace").splitlines():
        told = re.search(r"\] (.*?)\s*\[airflow\.task\.operators\.airflow_provider_smscancel", line)
        if told:
            say(f"  {lane.dag_id} ({lane.gateway}): {told[1]}")


def stop(lanes: list[Lane]) -> None:
    """End what is still running, with all of its children."""
    for lane in lanes:
        if lane.process is not None and lane.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(lane.process.pid, signal.SIGKILL)
            lane.process.wait()


def read_report(folder: Path) -> dict[str, str]:
    """Read what a report says last about each message."""
    last: dict[str, tuple[tuple[int, str], str]] = {}
    for part in folder.rglob("part-*.jsonl"):
        for line in part.read_text().splitlines():
            row = json.loads(line)
            rank = (row["try"], row["finished_at"])
            if row["message_id"] not in last or last[row["message_id"]][0] <= rank:
                last[row["message_id"]] = (rank, row["outcome"])
    return {message_id: outcome for message_id, (_, outcome) in last.items()}


def ground_truth(url: str) -> dict[str, str]:
    """Ask the sandbox for its own record."""
    with urllib.request.urlopen(f"{url}/_sandbox/messages") as answer:  # noqa: S310 - our own loopback server
        return {row["id"]: row["state"] for row in map(json.loads, answer)}


def compare(lane: Lane, truth: dict[str, str]) -> tuple[Counter[str], list[str]]:
    """Hold a report against the record, message by message."""
    report = read_report(lane.report)
    ids = lane.ids or list(report)
    wrong = []
    for message_id in ids:
        outcome, state = report.get(message_id), truth.get(message_id)
        if outcome not in AGREES or state not in AGREES[outcome]:
            wrong.append(f"{message_id}: report says {outcome}, gateway says {state}")
    wrong += [f"{message_id}: reported, but not asked for" for message_id in report.keys() - set(ids)]
    return Counter(report.values()), wrong


def show(lanes: list[Lane], truth: dict[str, str]) -> bool:
    """Print the table. Returns whether everything agrees."""
    good = True
    say("")
    say(f"{'campaign':<34}{'messages':>9}  {'outcomes':<48}agrees with the gateway's record")
    for lane in lanes:
        counts, wrong = compare(lane, truth)
        total = counts.total()
        expected = len(lane.ids) or REHEARSAL
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
        agrees = not wrong and total == expected
        good &= agrees
        verdict = f"yes, on all {total}" if agrees else f"NO: {len(wrong)} differ, {expected - total} missing"
        say(f"{lane.dag_id + ' (' + lane.gateway + ')':<34}{expected:>9}  {said:<48}{verdict}")
        for line in wrong[:5]:
            say(f"    {line}")
        if not agrees:
            say("    the end of its log:")
            say("\n".join("    " + line for line in lane.log.read_text(errors="replace").splitlines()[-25:]))
    return good


def main() -> int:
    """Run the demo."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    lanes: list[Lane] = []
    with tempfile.TemporaryDirectory(prefix="smscancel-demo-") as folder, sandbox() as url:
        home = Path(folder)
        say(f"Sandbox of Clickatell and Esendex US at {url}, every answer 50 ms late.")
        database = migrated_database(url)
        say(
            f"Scheduling {PER_GATEWAY} messages for tomorrow on each gateway; {SENT_ALREADY} of them leave at once, "
            f"and {WRONG_IDS} ids in each list are wrong."
        )
        for gateway in CREDENTIALS:
            manifest = home / f"{gateway}.csv"
            ids = schedule(gateway, url, manifest)
            report = home / f"report-{gateway}"
            conf = {
                "connection": f"{gateway}_default",
                "manifest": str(manifest),
                "campaign": "wrong price",
                "cancel_at_once": True,
            }
            lanes.append(Lane("cancel_campaign", gateway, conf, report, ids))
        rehearsal = {
            "connection": "clickatell_default",
            "count": REHEARSAL,
            "number_prefix": "44770091",
            "folder": str(home / "rehearsal"),
        }
        lanes.append(Lane("schedule_then_cancel", "clickatell", rehearsal, home / "rehearsal" / "report"))
        for number, lane in enumerate(lanes[:2]):
            lane.report = home / f"airflow-{number}" / "reports"
        say("Running the DAGs with `airflow dags test`, each in a throw-away Airflow …")
        try:
            run(lanes, home, url, database)
        finally:
            stop(lanes)
        good = show(lanes, ground_truth(url))
    say("")
    if good:
        say(
            "Every message is accounted for. Both cancel_campaign runs are failed runs, as they must be: "
            f"{SENT_ALREADY} messages had left, and {WRONG_IDS} ids are unknown."
        )
    else:
        say("The report and the gateway's record DISAGREE: this is a defect.")
    say(
        f"Took {time.monotonic() - began:.0f} s. Nothing is left behind but Airflow's empty database in .cache/."
    )
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("\nInterrupted: cleaned up.")
        sys.exit(130)
