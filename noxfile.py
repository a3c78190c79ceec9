"""Environments other than .venv: older Airflows, other Pythons, and the audit. `make matrix` and `make audit` run them.

A single one: ``.venv/bin/nox -s 'airflow(3.0.6, 3.12)'``. Environments are kept in ``.cache/nox`` and made anew when what is to be
installed has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).resolve().parent))

from compatibility import releases, results

nox.options.envdir = ".cache/nox"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = []

# Interpreters that pyenv has, but not on the PATH: after those that are.
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
os.environ["PATH"] = os.pathsep.join(
    [os.environ.get("PATH", ""), *sorted(map(str, PYENV.glob("versions/*/bin")), reverse=True)]
)

# Older Airflows warn about themselves and about what they need; this package must not be warned about in any of them.
WARNINGS = "filterwarnings=default\nerror:::airflow_provider_smscancel"


@nox.session
@nox.parametrize(
    "airflow,python",
    [nox.param(airflow, python, id=f"{airflow}, {python}") for airflow, python in releases.COMBINATIONS],
)
def airflow(session: nox.Session, airflow: str) -> None:
    """Run the tests in one release of Airflow on one Python. Further arguments go to pytest."""
    release = releases.BY_VERSION[airflow]
    set_up(session, [*releases.options(release), *releases.packages(release), "-e", "."])
    report = results.report_of(airflow, str(session.python))
    report.unlink(missing_ok=True)
    session.run(
        "python",
        "-m",
        "pytest",
        "-q",
        f"--override-ini={WARNINGS}",
        "--override-ini=junit_family=xunit1",
        "-p",
        "no:cacheprovider",
        "--tb=short",
        f"--junitxml={report}",
        *(session.posargs or results.TESTS),
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )


@nox.session
def audit(session: nox.Session) -> None:
    """Look for known vulnerabilities, where the data about them can be had."""
    set_up(session, ["pip-audit==2.10.1"])
    session.run("python", "-m", "compatibility.audit")


def set_up(session: nox.Session, what: list[str]) -> None:
    """Install into an environment that is new, unless that was done before."""
    described = json.dumps(
        [what, releases.prepare.fingerprint(), releases.LOWEST.read_text(encoding="utf-8")]
    )
    stamp = Path(session.virtualenv.location) / f"stamp-{hashlib.sha256(described.encode()).hexdigest()[:16]}"
    if not stamp.exists():
        # What is there already would be kept wherever it satisfies, however new it is.
        session.virtualenv.reuse_existing = False
        session.virtualenv.create()
        session.install("--quiet", *what)
        stamp.touch()
