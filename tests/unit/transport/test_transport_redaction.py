"""Masking."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading
import traceback
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.transport.redaction import (
    install_quiet_filter,
    quiet_request_logging,
    scrub,
    secret_forms,
    without_locals,
)

SECRET = 'p/ä ss"+\\word?>'


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_every_form_in_which_a_secret_travels_is_masked(secret):
    raw = secret.encode()
    for form in (
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        json.dumps(secret)[1:-1],
    ):
        assert form in secret_forms(secret)
        assert scrub(f"{form}", [secret]) == "***"


def test_forms_are_unique_and_empty_secrets_have_none():
    forms = secret_forms("plain")
    assert len(forms) == len(set(forms))
    assert "" not in forms
    assert secret_forms("") == []
    assert scrub("text", ["", "x-secret"]) == "text"


def test_a_secret_inside_another_leaves_nothing_of_the_longer_one():
    assert scrub("abcdef", ["bcd", "abcdef"]) == "***"


def test_a_secret_is_not_looked_for_in_the_masks():
    assert scrub("a*b", ["*"]) == "a***b"


def test_a_text_around_a_secret_stays():
    assert scrub(f"before {SECRET} and {quote(SECRET)} after", [SECRET]) == "before *** and *** after"


def test_a_badly_decoded_secret_is_survived():
    assert scrub("a\udcffb", ["a\udcffb"]) == "***"


@pytest.mark.parametrize(
    "name", ["urllib3.connectionpool", "urllib3.util.retry", "aiohttp.client", "requests"]
)
def test_only_the_context_that_sends_is_quiet(caplog, name):
    logger = logging.getLogger(name)
    caplog.set_level(logging.DEBUG, logger=name)
    with quiet_request_logging():
        logger.warning("ours")
        other = threading.Thread(target=logger.warning, args=("theirs",))
        other.start()
        other.join()
        with quiet_request_logging():
            logger.warning("ours, nested")
        logger.warning("ours, after the nested one")
    logger.warning("afterwards")
    assert caplog.messages == ["theirs", "afterwards"]


def test_another_task_is_not_made_quiet(caplog):
    logger = logging.getLogger("urllib3.connectionpool")

    async def run() -> None:
        inside = asyncio.Event()
        written = asyncio.Event()

        async def ours() -> None:
            with quiet_request_logging():
                inside.set()
                await written.wait()
                logger.warning("ours")

        task = asyncio.create_task(ours())
        await inside.wait()
        logger.warning("theirs")
        written.set()
        await task

    asyncio.run(run())
    assert caplog.messages == ["theirs"]


def test_the_context_ends_also_with_an_error(caplog):
    logger = logging.getLogger("urllib3.connectionpool")
    with pytest.raises(KeyError), quiet_request_logging():
        raise KeyError
    logger.warning("afterwards")
    assert caplog.messages == ["afterwards"]


def test_the_filter_is_installed_once():
    logger = logging.getLogger("urllib3.connectionpool")
    before = list(logger.filters)
    install_quiet_filter()
    assert logger.filters == before


@without_locals
def fails_with(secret: str, *, way: str) -> None:
    """Raises, with a secret among its own and its callee's local variables."""

    def inner(held: str) -> None:
        copied = [held]
        raise KeyError(len(copied))

    if way == "plainly":
        inner(secret)
    try:
        inner(secret)
    except KeyError as error:
        if way == "with a cause":
            raise ValueError("another") from error
        if way == "without its context":
            raise ValueError("another") from None
        raise ValueError("another")  # noqa: B904 - the context is what is looked at


@pytest.mark.parametrize("way", ["plainly", "with a cause", "with a context", "without its context"])
def test_an_exception_forgets_the_local_variables_that_it_went_through(way):
    with pytest.raises((KeyError, ValueError)) as caught:
        fails_with(SECRET, way=way)
    found = caught.value
    assert "fails_with" in "".join(traceback.format_exception(found))
    while found is not None:
        frames = [frame for frame, _ in traceback.walk_tb(found.__traceback__)]
        values = [repr(value) for frame in frames[1:] for value in frame.f_locals.values()]
        assert not any("word" in value for value in values)
        found = found.__context__


def test_what_the_caller_was_handling_keeps_its_local_variables():
    def own() -> None:
        mine = "of the caller"
        raise LookupError(len(mine))

    def handle() -> None:
        try:
            own()
        except LookupError:
            fails_with(SECRET, way="plainly")

    with pytest.raises(KeyError) as caught:
        handle()
    context = caught.value.__context__
    frames = [frame for frame, _ in traceback.walk_tb(context.__traceback__)]
    assert frames[-1].f_locals == {"mine": "of the caller"}


def test_a_function_whose_exceptions_forget_is_otherwise_the_same():
    @without_locals
    def double(number: int, *, times: int = 2) -> int:
        """Multiply."""
        return number * times

    assert double(4, times=3) == 12
    assert double.__name__ == "double"
    assert double.__doc__ == "Multiply."
