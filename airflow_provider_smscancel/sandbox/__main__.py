"""``python -m airflow_provider_smscancel.sandbox``."""

from __future__ import annotations

import argparse
import sys

from airflow_provider_smscancel.sandbox.command import DESCRIPTION, OPTIONS, serve


def main(arguments: list[str] | None = None) -> int:
    """Serve as the arguments say."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_smscancel.sandbox", description=DESCRIPTION
    )
    for flag, settings in OPTIONS.items():
        parser.add_argument(flag, **settings)
    return serve(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
