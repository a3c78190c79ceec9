"""What users rely on changes only on purpose: docs/api.md lists it, and is held against the code."""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "api.md"
HOW_TO_ACCEPT = """What users rely on has changed (- as docs/api.md says, + as the code is):

{}

Not meant? Then undo it: somebody's DAG would break. Meant? Read "Changing what is public" in CONTRIBUTING.md, run `make api`, and
commit docs/api.md with a line in CHANGELOG.md."""


def test_what_users_rely_on_is_as_documented() -> None:
    command = [sys.executable, ROOT / "scripts" / "public_api.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (documented,) = re.findall(
        r"<!-- public api -->\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    changed = difflib.unified_diff(documented.splitlines(), done.stdout.splitlines(), lineterm="", n=1)
    assert documented == done.stdout, HOW_TO_ACCEPT.format("\n".join(changed))
