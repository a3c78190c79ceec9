"""A real Airflow with planted secrets, at debug level: everything that it writes down or shows is searched afterwards."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from playwright.sync_api import Error, Response
from support.airflow_stack import AirflowStack
from support.browsing import chromium, open_page
from support.waiting import wait_for

from airflow_provider_smscancel.sandbox.server import SandboxServer
from torture.echoing import EchoingGateway
from torture.needles import Needle, Search
from torture.plan import Plan, Row, say
from torture.planted import tell
from torture.planted_values import (
    API_ID,
    CLICKATELL_NUMBER,
    CREDENTIALS,
    DEBUG_LINE,
    ESENDEX_NUMBER,
    NEEDLES,
    TOKEN,
    USER,
    WRONG_TOKEN,
    connections,
    session_needle,
)

ROOT = Path(__file__).resolve().parents[1]
CAMPAIGN = "planted-campaign-9dK4tW"
PREFIX = "2783619"
"""Of the rehearsal's numbers: the form asks for it, so only what is made of it is secret."""
REHEARSED = Needle("a number of the rehearsal", f"{PREFIX}0000")
FORM_PASSWORD = "\"+/%'\\<Vd7gRs25QmHy>&=?"  # noqa: S105 - opens nothing
IN_THE_FORM = Needle("a password that was typed into the form", FORM_PASSWORD)
MARKERS = (Needle("the campaign", CAMPAIGN), Needle("a line at debug level", DEBUG_LINE))
MESSAGES = 8
DEBUG = ("requests", "urllib3", "aiohttp.client", "aiohttp.internal", "asyncio", "airflow_provider_smscancel")
WITHIN_S = 120.0
MARKED = {
    "the campaign": (
        "table xcom",
        "table rendered_task_instance_fields",
        "logs/dag_id=",
        "lineage",
        "a page",
        "JSON of",
    ),
    "a line at debug level": ("logs/dag_id=",),
}
"""Where each marker has to be found, or the search looked at the wrong places."""


class PlantedAirflow:
    """The sandbox, an echoing gateway, and an Airflow that leads to both.

    :param folder: for everything that is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "airflow"
        self.search = Search([*NEEDLES, REHEARSED, IN_THE_FORM], MARKERS)
        self._stack = ExitStack()

    def __enter__(self) -> PlantedAirflow:
        enter = self._stack.enter_context
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sandbox = enter(SandboxServer(seed=6, credentials=CREDENTIALS))
        echoing = enter(EchoingGateway(in_turn=True))
        silent = enter(socket.create_server(("127.0.0.1", 0)))
        with socket.create_server(("127.0.0.1", 0)) as free:
            closed = free.getsockname()[1]
        self.packets = enter(statsd())
        dags = self.folder / "dags"
        dags.mkdir()
        shutil.copy(ROOT / "torture" / "dags_of_planted.py", dags / "planted.py")
        for name in ("schedule_then_cancel.py", "cancel_campaign.py"):
            shutil.copy(ROOT / "dags" / name, dags / name)
        environment = {
            **connections(
                self.sandbox.url,
                echoing.url,
                f"http://127.0.0.1:{silent.getsockname()[1]}",
                f"http://127.0.0.1:{closed}",
            ),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "PYTHONASYNCIODEBUG": "1",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            "AIRFLOW__LOGGING__NAMESPACE_LEVELS": " ".join(f"{name}=DEBUG" for name in DEBUG),
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.packets.port),
            "AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE": "True",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(self.folder / "lineage.jsonl"), "append": True}
            ),
            "AIRFLOW__CORE__LAZY_LOAD_PLUGINS": "True",
        }
        self.airflow = enter(AirflowStack(self.home, dags, environment))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # -- what is done ---------------------------------------------------------------------------------------------

    def run_everything(self) -> list[tuple[str, str]]:
        """Run every DAG to its end.

        :return: the runs.
        """
        manifests = {gateway: str(self._manifest(gateway)) for gateway in ("clickatell", "esendex")}
        conf = {"manifests": manifests, "campaign": CAMPAIGN, "report": str(self.folder / "report")}
        rehearsal = {"count": 1, "number_prefix": PREFIX, "folder": str(self.folder / "rehearsal")}
        starts: list[tuple[str, dict[str, Any]]] = [
            ("planted_operators", conf),
            ("planted_hooks", conf),
            ("planted_killed", conf),
            ("schedule_then_cancel", {"connection": "planted_http", **rehearsal}),
            (
                "cancel_campaign",
                {"connection": "planted_rest", "campaign": CAMPAIGN, "manifest": manifests["clickatell"]},
            ),
        ]
        runs = [(dag_id, self.airflow.trigger(dag_id, each)) for dag_id, each in starts]
        self._kill(*runs[2])  # first: it ends by itself before long
        self._approve(*runs[-1])
        for dag_id, run_id in runs:
            state = self.airflow.wait_for_run(dag_id, run_id, within_s=WITHIN_S)
            say(f"   {dag_id}: {state}")
        return runs

    def _manifest(self, gateway: str) -> Path:
        """Write a list of messages, and among them a number, as somebody might who took the wrong column."""
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        number = CLICKATELL_NUMBER if gateway == "clickatell" else ESENDEX_NUMBER
        ids = [
            self.sandbox.state.add(gateway, number, scheduled_at=tomorrow.timestamp()).id
            for _ in range(MESSAGES)
        ]
        path = self.folder / f"list-of-{gateway}.csv"
        path.write_text("\n".join(["message_id", *ids, f"+{number}"]) + "\n")
        return path

    def _approve(self, dag_id: str, run_id: str) -> None:
        where = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/approve"
        wait_for(
            lambda: self.airflow.task(dag_id, run_id, "approve")["state"] in ("awaiting_input", "deferred"),
            "the approval is asked for",
            within_s=WITHIN_S,
        )
        self.airflow.wait_until_left_alone(dag_id, run_id, "approve")
        self.airflow.call(
            "PATCH", f"{where}/-1/hitlDetails", {"chosen_options": ["Approve"], "params_input": {}}
        )

    def _kill(self, dag_id: str, run_id: str) -> None:
        task_id = "killed_planted_http"
        report = self.folder / "report" / "killed-planted_http"
        wait_for(lambda: any(report.glob("run-*")), "the task that is killed has begun", within_s=WITHIN_S)
        where = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.airflow.call("PATCH", where, {"new_state": "failed"})

    def use_connections(self) -> None:
        """Test connections through the API, and save one as the form does; look at what comes back."""
        for name, fields in (
            ("works", {}),
            ("wrong", {"password": WRONG_TOKEN}),
            ("away", {"host": "https://gateway.invalid"}),
        ):
            body = {
                "connection_id": f"form_{name}",
                "conn_type": "clickatell",
                "host": self.sandbox.url,
                "password": TOKEN,
                **fields,
            }
            self._seen("POST", "/connections/test", body)
        saved = {
            "connection_id": "saved_in_the_form",
            "conn_type": "clickatell",
            "host": self.sandbox.url,
            "login": USER,
            "password": FORM_PASSWORD,
            "extra": json.dumps({"api": "http", "api_id": API_ID, "timeout": None}),
        }
        self._seen("POST", "/connections", saved)
        self._seen("GET", "/connections/saved_in_the_form")
        self._seen("GET", "/connections?limit=100")

    def use_commands(self) -> None:
        """Use Airflow's own command line."""
        arguments = (
            "smscancel",
            "status",
            "--conn-id",
            "echo_http",
            "--id",
            "a" * 32,
            "--give-up-after",
            "1",
            "-v",
        )
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.airflow.environment,
            cwd=self.home,
            capture_output=True,
            timeout=WITHIN_S,
        )
        self.search.data(f"the output of airflow {' '.join(arguments[:2])}", done.stdout + done.stderr)

    # -- what is searched -----------------------------------------------------------------------------------------

    def look_at_pages(self, runs: list[tuple[str, str]], browser: str) -> None:
        """Read what Airflow shows of the runs: the JSON that its pages are made of, and some pages themselves.

        :param browser: the program.
        """
        for dag_id, run_id in runs:
            run = f"/dags/{dag_id}/dagRuns/{run_id}"
            tasks = self._seen("GET", f"{run}/taskInstances?limit=200")["task_instances"]
            self._seen("GET", run)
            self._seen("GET", f"{run}/taskInstances/~/xcomEntries?limit=1000")
            for task in tasks:
                where = f"{run}/taskInstances/{task['task_id']}"
                entries = self._seen("GET", f"{where}/xcomEntries?limit=100")["xcom_entries"]
                for entry in entries:
                    self._seen("GET", f"{where}/xcomEntries/{entry['key']}?stringify=true")
                if task["try_number"]:
                    self._seen("GET", f"{where}/logs/{task['try_number']}?full_content=true")
                self._seen("GET", f"{where}/links")
        for path in ("/eventLogs?limit=1000", "/assets/events?limit=100", "/importErrors", "/connections"):
            self._seen("GET", path)
        self._open_pages(runs, browser)

    def _seen(self, method: str, path: str, body: Any = None) -> Any:
        found = self.airflow.call(method, path, body)
        self.search.text(f"the JSON of {method} {path.partition('?')[0]}", json.dumps(found))
        return found

    def _open_pages(self, runs: list[tuple[str, str]], program: str) -> None:
        dag_id, run_id = runs[0]
        task = f"/dags/{dag_id}/runs/{quote(run_id)}/tasks/plain_echo_http"
        tabs = ("", "/xcom", "/details", "/events", "/rendered_templates")
        with chromium(program) as browser, open_page(browser, self.airflow.url) as page:
            answers: list[Response] = []
            # Not the method itself: playwright refuses a built-in.
            page.on("response", lambda answer: answers.append(answer))
            for path in ("/connections", "/events", "/xcoms", "/assets", *(f"{task}{tab}" for tab in tabs)):
                page.goto(path)
                page.wait_for_load_state("networkidle")
                name = f"a page: {path.rpartition('/')[2]}"
                self.search.text(name, page.content() + page.inner_text("body"))
                for answer in answers:
                    # Not the programs of the pages, and not what was given up.
                    if "/api/" in answer.url or "/ui/" in answer.url:
                        with contextlib.suppress(Error):
                            self.search.text(f"{name}, from {urlsplit(answer.url).path}", answer.text())
                answers.clear()
            page.goto("/connections")
            row = page.get_by_role("row").filter(has_text="saved_in_the_form")
            row.get_by_role("button", name="Edit Connection").click()
            form = page.get_by_role("dialog")
            form.locator("input[name=password]").wait_for()
            values = [field.input_value() for field in form.locator("input, textarea").all()]
            self.search.text("a page: the form of a saved connection", page.content() + "\n".join(values))

    def look_at_files(self) -> None:
        """Search everything that was written: to be called once Airflow has ended."""
        self.search.add(map(session_needle, self.sandbox.state.sessions_so_far()))
        for name in ("list-of-clickatell.csv", "list-of-esendex.csv"):
            (self.folder / name).unlink()  # what was put in is no leak
        shutil.rmtree(self.folder / "dags")
        self.search.tree(self.folder)
        self.search.data("what StatsD was told", b"\n".join(self.packets.seen))

    def missing_markers(self) -> list[str]:
        """Say where a marker ought to have been found and was not: the search looked at the wrong places."""
        missing = [
            f"{name} in {where}"
            for name, places in MARKED.items()
            for where in places
            if not any(where in place for place in self.search.marked.get(name, ()))
        ]
        return missing + (
            [] if any(b"smscancel" in packet for packet in self.packets.seen) else ["StatsD's packets"]
        )


class Packets:
    """What arrives at a UDP port of its own."""

    def __init__(self, receiver: socket.socket) -> None:
        self.seen: list[bytes] = []
        self.port = receiver.getsockname()[1]


@contextmanager
def statsd() -> Iterator[Packets]:
    """Collect what is sent to StatsD."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.2)
        packets, ended = Packets(receiver), threading.Event()

        def receive() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    packets.seen.append(receiver.recv(65_536))

        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        try:
            yield packets
        finally:
            ended.set()
            thread.join(5)


def attack(plan: Plan) -> list[Row]:
    """Run everything, and search everything.

    :raises RuntimeError: what had to be found was not, or there is no browser: the search itself is broken.
    """
    browser = shutil.which("chromium")
    if browser is None:
        raise RuntimeError("the program chromium is missing: nobody looked at the pages")
    with tempfile.TemporaryDirectory(prefix="smscancel-planted-") as folder:
        search = search_airflow(Path(folder) / "stack", browser)
    return [
        tell(
            "run operator, notifier, hooks and examples with what is planted in a real Airflow at debug level; search what it "
            f"wrote and shows, {search.bytes // 2**20} MiB",
            search.places,
            search.tried,
            [str(hit) for hit in search.hits],
        )
    ]


def search_airflow(folder: Path, browser: str) -> Search:
    """Run everything, and search everything.

    :param folder: what is written goes here.
    :param browser: the program that the pages are looked at with.
    :raises RuntimeError: what had to be found was not: the search looked at the wrong places.
    """
    with PlantedAirflow(folder) as planted:
        planted.use_connections()
        runs = planted.run_everything()
        planted.use_commands()
        planted.look_at_pages(runs, browser)
        planted.airflow.stop()
        planted.look_at_files()
    if missing := planted.missing_markers():
        raise RuntimeError(f"the search did not find {', '.join(missing)}")
    return planted.search
