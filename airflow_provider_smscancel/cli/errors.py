"""What ends a command before, or instead of, its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_smscancel._airflow import AirflowNotFoundException
from airflow_provider_smscancel.campaigns.sources import SourceUnavailable, before_anything

FAILED = 1
WRONG = 2
INTERRUPTED = 130


class CommandError(Exception):
    """Ends a command.

    :param text: one line for a person: what is wrong and what to do.
    :param status: the exit status.
    """

    def __init__(self, text: str, status: int = WRONG) -> None:
        super().__init__(text)
        self.status = status


@contextmanager
def nothing_sent() -> Iterator[None]:
    """Turn whatever can be foreseen to go wrong before the first request into a :class:`CommandError` that says so."""
    try:
        yield
    except AirflowNotFoundException as error:  # its text names the connection: it may be that of a store
        text = (
            f"{error} in this Airflow (`airflow connections list` shows those that are saved), or its database can't be read "
            "from here (see `airflow db check`)"
        )
        raise CommandError(before_anything(text)) from None
    except (ValueError, SourceUnavailable) as error:
        raise CommandError(before_anything(str(error))) from None
    except KeyboardInterrupt:
        raise CommandError(before_anything("Interrupted"), INTERRUPTED) from None
