"""What users rely on changes only on purpose: docs/api.md lists it, and is held against the code."""

from __future__ import annotations

import ast
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


(DOCUMENTED,) = re.findall(
    r"<!-- public api -->\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
)


def test_what_users_rely_on_is_as_documented() -> None:
    command = [sys.executable, ROOT / "scripts" / "public_api.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    changed = difflib.unified_diff(DOCUMENTED.splitlines(), done.stdout.splitlines(), lineterm="", n=1)
    assert done.stdout == DOCUMENTED, HOW_TO_ACCEPT.format("\n".join(changed))


def documented_names() -> set[str]:
    """Every name that is listed, with the module that it is imported from."""
    found, module = set(), ""
    for line in DOCUMENTED.splitlines():
        if re.fullmatch(r"airflow_provider_smscancel[\w.]*", line):
            module = line
        elif module and (name := re.match(r"    (?:frozen dataclass |enum |exception |class )?(\w+)", line)):
            found.add(f"{module}.{name[1]}")
        elif not line:
            module = ""
    return found


def what_users_copy() -> dict[str, str]:
    """The examples, in the DAGs folder and on the pages, by where they stand. A new gateway is written by people of the house."""
    copied = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "dags").glob("*.py")}
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        blocks = re.findall(
            r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        if path.name != "adding-a-gateway.md":
            copied |= {f"{path.name} {number}": block for number, block in enumerate(blocks)}
    return copied


def test_what_users_copy_takes_nothing_that_may_change_at_any_time() -> None:
    used = {
        f"{node.module}.{alias.name}"
        for text in what_users_copy().values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_provider_smscancel")
        for alias in node.names
    }
    assert used
    assert used - documented_names() == set()
