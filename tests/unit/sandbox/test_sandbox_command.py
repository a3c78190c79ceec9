"""The sandbox's command says where it listens, stays on loopback and stops cleanly."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests
from support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-m", "airflow_provider_smscancel.sandbox"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"smscancel sandbox listening on (http://\S+:[0-9]+)\n", line)
        assert match is not None, line
        yield process, match[1]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_itself_serves_and_stops_cleanly_on_a_signal(number: signal.Signals) -> None:
    with running() as (process, url), requests.Session() as session:
        assert session.get(url + "/_sandbox/messages", timeout=10).status_code == 200
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.wait(timeout=20) == 0
        output = process.stdout.read()
        assert process.stderr.read() == ""
        for credential in ("sandbox-token", "sandbox-password", "sandbox-api", "5a9dbe5a-0000-4000-8000"):
            assert credential in output


def test_it_serves_although_nobody_reads_where() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port)], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    try:
        wait_for(
            lambda: answers(f"http://127.0.0.1:{port}/_sandbox/messages"), "the sandbox answers", within_s=60
        )
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20)[1] == ""
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def answers(url: str) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(url, timeout=10).status_code == 200
    return False


def test_it_stops_although_an_answer_is_still_due() -> None:
    with running("--latency", "3600") as (process, url):
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
            caller.sendall(b"GET /messaging.svc/CancelMessage HTTP/1.1\r\nHost: sandbox\r\n\r\n")
            counted = requests.get(url + "/_sandbox/requests", timeout=10).json()
            while counted["esendex"]["total"] == 0:
                counted = requests.get(url + "/_sandbox/requests", timeout=10).json()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
            assert process.returncode == 0


def test_a_rate_limit_and_a_host_can_be_given() -> None:
    with running("--rate-limit", "1", "--host", "localhost") as (_, url), requests.Session() as session:
        path = url + "/messaging.svc/CancelMessage"
        assert 429 in {session.get(path, timeout=10).status_code for _ in range(20)}


def test_a_profile_of_faults_and_a_seed_can_be_given() -> None:
    def outcomes(seed: str) -> dict[str, int]:
        with running("--faults", "heavy", "--seed", seed) as (_, url):
            requests.post(url + "/_sandbox/messages", json={"gateway": "esendex", "count": 1}, timeout=10)
            for _ in range(12):
                with contextlib.suppress(requests.RequestException):
                    requests.get(url + "/messaging.svc/CancelMessage", timeout=10)
            return requests.get(url + "/_sandbox/requests", timeout=10).json()["esendex"]["calls"][
                "CancelMessage"
            ]

    first = outcomes("5")
    assert any(outcome.startswith("fault ") for outcome in first)
    assert outcomes("5") == first


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com"])
def test_it_refuses_to_listen_where_others_could_reach_it(host: str) -> None:
    done = subprocess.run(
        [*COMMAND, "--host", host, "--port", "0"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "loopback only" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--faults", "gentle"], "none, light, heavy"),
        (["--rate-limit", "0"], "1 or more"),
        (["--latency", "-1"], "from 0 to 3600"),
        (["--port", "99999"], "99999"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(arguments: list[str], named: str) -> None:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert port in done.stderr


@pytest.mark.parametrize("library", ["starlette", "uvicorn"])
def test_a_missing_library_is_answered_with_what_to_install(library: str) -> None:
    code = (
        f"import sys; sys.modules[{library!r}] = None;"
        "from airflow_provider_smscancel.sandbox.__main__ import main; sys.exit(main(['--port', '0']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "pip install 'airflow-provider-smscancel[sandbox]'" in done.stderr
    assert "Traceback" not in done.stderr
