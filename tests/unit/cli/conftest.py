"""Commands that run in this process, against a sandbox over a real socket."""

from __future__ import annotations

import io

import pytest
from support.commands import Done, Run, TypedText
from support.operating import requests_so_far
from support.operator_fixtures import in_doubt, no_pauses, sandbox, seed, server

from airflow_provider_smscancel.__main__ import main
from airflow_provider_smscancel.sandbox.server import SandboxServer

__all__ = ["in_doubt", "no_pauses", "sandbox", "seed", "server"]


@pytest.fixture
def run(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command. ``typed`` is what a person types; ``stdin`` is what a pipe holds."""

    def command(*arguments: str, typed: str | None = None, stdin: str | bytes = "") -> Done:
        piped = io.BytesIO(stdin if isinstance(stdin, bytes) else stdin.encode())
        source = io.TextIOWrapper(piped, "utf-8") if typed is None else TypedText(typed)
        monkeypatch.setattr("sys.stdin", source)
        capsys.readouterr()
        before = requests_so_far(sandbox)
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        said = capsys.readouterr()
        status = ended.value.code
        assert isinstance(status, int)
        return Done(status, said.out, said.err, requests_so_far(sandbox) - before)

    return command
