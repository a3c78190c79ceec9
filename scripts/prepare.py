"""Makes .venv, the virtual environment of this checkout, anew when it is missing, unfinished or out of date.

Says nothing when there is nothing to do. Run by ``prepare.sh`` with the interpreter that .venv is to have, so it uses
nothing but the standard library.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
CONSTRAINTS = ROOT / "constraints.txt"
CACHE = ROOT / ".cache"
LOG = CACHE / "prepare.log"
PACKAGE_INIT = ROOT / "airflow_provider_smscancel" / "__init__.py"


class SetUpError(Exception):
    """A step of the set-up failed; the text is for the person at the terminal."""


def project() -> dict[str, Any]:
    """Read ``pyproject.toml``."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def development_requirements() -> list[str]:
    """List what .venv holds besides the package and its extras, which the group names by itself."""
    described = project()
    own_name = described["project"]["name"]
    return [each for each in described["dependency-groups"]["dev"] if not each.startswith(own_name)]


def fingerprint() -> str:
    """Name everything that decides what .venv holds; a virtual environment cannot be moved, so its place is part of it."""
    described = project()
    version = re.search("^__version__ = .*$", PACKAGE_INIT.read_text(encoding="utf-8"), re.MULTILINE)
    parts = [
        str(ROOT),
        json.dumps(
            [described[table] for table in ("build-system", "project", "dependency-groups")], sort_keys=True
        ),
        CONSTRAINTS.read_text(encoding="utf-8"),
        version[0] if version else "",
        Path(__file__).read_text(encoding="utf-8"),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def is_ready(stamp: Path) -> bool:
    """Tell whether .venv was finished from the present inputs, still runs, and has the interpreter asked for."""
    if not stamp.exists():
        return False
    ask = "import sys, airflow_provider_smscancel; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([VENV_PYTHON, "-I", "-c", ask], capture_output=True, text=True)
    except OSError:  # the interpreter that .venv was made from is gone
        return False
    if answer.returncode != 0:
        return False
    # Without PYTHON=… the environment keeps its interpreter, whatever `python3` means in today's shell.
    return not os.environ.get("PYTHON") or answer.stdout.strip() == "{}.{}".format(*sys.version_info)


@contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Wait until no other set-up of this checkout runs; the system frees the lock of a process that was killed."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "prepare.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another set-up of .venv to finish …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def attempt(*command: str | Path) -> bool:
    """Run a command, its output added to the log; tell whether it succeeded."""
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(map(str, command))}\n")
        log.flush()
        return (
            subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode
            == 0
        )


def install() -> bool:
    """Install the package as editable, and the tools, in the pinned versions: by uv, which is quick, else by pip."""
    what = ["-e", f"{ROOT}[parquet,sandbox]", *development_requirements()]
    pip: list[str | Path] = [
        VENV_PYTHON,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--constraint",
        CONSTRAINTS,
    ]
    if attempt(*pip, "uv"):
        uv: list[str | Path] = [VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", VENV_PYTHON]
        if attempt(*uv, "--constraint", CONSTRAINTS, "--build-constraint", CONSTRAINTS, *what):
            return True
        say("  uv could not install the packages; trying pip, which is slower …")
    else:
        say("  uv is not to be had; using pip, which is slower …")
    return attempt(*pip, *what)


def make_anew(stamp: Path) -> None:
    """Make .venv from scratch. The stamp comes last: an environment without it is unfinished."""
    LOG.write_text("", encoding="utf-8")
    if not attempt(sys.executable, "-m", "venv", "--clear", VENV):
        raise SetUpError("could not make the virtual environment")
    if not install():
        raise SetUpError("could not install the packages (is the package index within reach?)")
    stamp.touch()


def main() -> int:
    """Bring .venv up to date; the exit status says whether that worked."""
    stamp = VENV / f".stamp-{fingerprint()}"
    if is_ready(stamp):
        return 0
    with only_one_at_a_time():
        if is_ready(stamp):
            return 0
        say("Setting up .venv (once, about a minute) …")
        started = time.monotonic()
        try:
            make_anew(stamp)
        except SetUpError as error:
            print(*LOG.read_text(encoding="utf-8").splitlines()[-40:], sep="\n", file=sys.stderr)
            print(f"Setting up .venv failed: {error}. All output: {LOG.relative_to(ROOT)}", file=sys.stderr)
            return 1
        say(f"  done in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted; the next run sets .venv up anew.")
