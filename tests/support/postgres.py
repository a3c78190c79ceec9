"""A real PostgreSQL, thrown away afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.require import lacking


def _program(name: str) -> str:
    """Find one of PostgreSQL's programs: Debian keeps them off the PATH."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / name).exists():
            return str(folder / name)
    return shutil.which(name) or lacking(f"PostgreSQL's program {name!r}")


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run a server on a free loopback port.

    :return: its URI, as Airflow's connections are written.
    """
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    # It refuses to run as root, and its socket's path must be short.
    user = "nobody" if os.geteuid() == 0 else None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        Path(folder).chmod(0o755)
        if user is not None:
            shutil.chown(folder, user)
        data = Path(folder) / "data"

        def run(*command: str) -> None:
            subprocess.run(
                command,
                check=True,
                user=user,
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

        run(initdb, "-D", str(data), "-U", "tester", "-A", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -c unix_socket_directories={folder}"
        run(pg_ctl, "-D", str(data), "-w", "-o", options, "-l", str(Path(folder) / "log"), "start")
        try:
            yield f"postgres://tester@127.0.0.1:{port}/postgres"
        finally:
            run(pg_ctl, "-D", str(data), "-m", "immediate", "stop")
