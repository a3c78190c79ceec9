"""``python -m airflow_provider_smscancel``: the command line on every version of Airflow."""

from __future__ import annotations

from airflow_provider_smscancel.cli.definition import make_parser


def main(arguments: list[str] | None = None) -> None:
    """Run the command that the arguments name, and exit with its status."""
    options = make_parser().parse_args(arguments)
    options.func(options)


if __name__ == "__main__":
    main()
