"""What a test needs from the machine: missing, it is a skip that names it; with ``CI`` set, a failure."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """End the test because this machine lacks ``what``, for instance "the program 'php'"."""
    reason = f"{what} is not on this machine"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and with CI set nothing is skipped", pytrace=False)
    pytest.skip(reason)


def require_program(name: str) -> str:
    """Go on only when the program is on the PATH.

    :return: its path.
    """
    return shutil.which(name) or lacking(f"the program {name!r}")


def require_library(name: str) -> None:
    """Go on only when the Python library can be imported."""
    if importlib.util.find_spec(name) is None:
        lacking(f"the Python library {name!r}")
