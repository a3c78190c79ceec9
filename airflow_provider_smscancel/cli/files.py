"""What comes with the package for people to read: the pages of the documentation, and the example DAGs."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from airflow_provider_smscancel.cli.errors import CommandError
from airflow_provider_smscancel.cli.screen import Screen

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(installed: str, checkout: str) -> Path:
    """Find a folder that a wheel puts into the package. In a checkout it is beside the package.

    :param installed: its name in the package.
    :param checkout: its name in a checkout.
    """
    folder = PACKAGE / installed
    return folder if folder.is_dir() else PACKAGE.parent / checkout


def show_files(options: argparse.Namespace, screen: Screen) -> int:
    """Say where the pages and the examples are, or copy the examples.

    :return: the exit status.
    :raises CommandError: not everything was copied.
    """
    pages, examples = shipped("docs", "docs"), shipped("example_dags", "dags")
    dags = sorted(examples.glob("*.py"))
    if options.copy_dags_to:
        copied = _copy(dags, Path(options.copy_dags_to).expanduser())
        screen.result({"copied": [str(path) for path in copied]}, *(f"Copied {path}" for path in copied))
        return 0
    screen.result(
        {"docs": str(pages), "dags": [str(path) for path in dags]},
        f"documentation  {pages}",
        f"               in a hurry: {pages / 'on-call.md'}",
        f"example DAGs   {examples}",
        *(f"               {path.name}" for path in dags),
    )
    return 0


def _copy(files: list[Path], folder: Path) -> list[Path]:
    """Copy files: never over one that somebody has changed, and none of them then."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [(path, folder / path.name) for path in files]
        changed = [to.name for path, to in wanted if to.exists() and to.read_bytes() != path.read_bytes()]
        if changed:
            raise CommandError(
                f"Nothing was copied: {folder} has other files of the names {', '.join(changed)}. Move them away, or name "
                "another folder."
            )
        for path, to in wanted:
            shutil.copyfile(path, to)
    except OSError as error:
        raise CommandError(f"The example DAGs can't be copied to {folder}: {error.strerror}.") from None
    return [to for _, to in wanted]
