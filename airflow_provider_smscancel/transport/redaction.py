"""Keeping secrets out of what people and logs see."""

from __future__ import annotations

import base64
import functools
import json
import logging
import re
import sys
import traceback
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from types import TracebackType

P = ParamSpec("P")
R = TypeVar("R")

MASK = "***"

_CHATTY_LOGGERS = (
    "urllib3",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
    "urllib3.contrib.socks",
    "requests",
    "aiohttp.client",
    "aiohttp.internal",
)
"""The loggers that write URLs or headers. A filter does not cover a logger's children, so each one is
listed."""

QUIET: ContextVar[bool] = ContextVar("smscancel_quiet_request_logging", default=False)
"""Whether the current thread or task sends a request of ours. Set it through :func:`quiet_request_logging`, or, where each
call counts, directly."""


def secret_forms(secret: str) -> list[str]:
    """Return the forms in which a secret travels and may be echoed: each is to be masked. Longest first.

    :param secret: the raw secret; an empty one has no forms.
    :return: raw, URL-quoted in both ways, base64 in both alphabets with and without padding, JSON-escaped.
    """
    if not secret:
        return []
    # A lone surrogate (from a badly decoded environment variable, say) must not turn masking into an error.
    data = secret.encode(errors="surrogatepass")
    forms = {secret, quote(data, safe=""), quote(data), quote_plus(data)}
    for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
        forms |= {encoded.decode(), encoded.decode().rstrip("=")}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return sorted(forms, key=lambda form: (-len(form), form))


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Replace every form of every secret in a text by ``***``."""
    forms = {form for secret in secrets for form in secret_forms(secret)}
    if not forms:
        return text
    # The longest first: a shorter form inside a longer one would leave the rest of the longer one standing. In one
    # pass: a secret such as "*" must not be found in the masks.
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.sub("|".join(map(re.escape, longest_first)), MASK, text)


def without_locals(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function's exceptions forget the local variables and arguments of the function and of all that it called.

    Error trackers and debuggers show them, and among them are credentials, numbers and texts. Files, lines and the text
    of the exception stay.
    """

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        handled = sys.exception()  # the caller's, which becomes the context of what is raised here
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            forget_locals(error, until=handled)
            raise

    return called


def forget_locals(error: BaseException, *, until: BaseException | None = None) -> None:
    """Empty the frames of an exception's traceback, and of those that it came from, but for frames that still run.

    :param until: one that it came from and that is somebody else's: it is left as it is.
    """
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and found is not until and id(found) not in seen:
        seen.add(id(found))
        traceback.clear_frames(found.__traceback__)
        found = found.__cause__ or found.__context__


class _QuietFilter(logging.Filter):
    """Drops records while the current thread or task sends a request of ours; leaves others' alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not QUIET.get()


_FILTER = _QuietFilter()


class _QuietRequestLogging:
    """What :func:`quiet_request_logging` returns. A class, as a generator costs more on every request."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token: Token[bool] = QUIET.set(True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        QUIET.reset(self._token)


def quiet_request_logging() -> AbstractContextManager[None]:
    """Return a context manager in which the HTTP libraries write no log records, at any level.

    URLs may hold a licence key, and libraries log URLs. Only the current thread or task is quiet: other code
    that uses the same libraries at the same time keeps its records.
    """
    return _QuietRequestLogging()


def install_quiet_filter() -> None:
    """Make the chatty loggers obey :func:`quiet_request_logging`. Doing it again changes nothing."""
    for name in _CHATTY_LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)


install_quiet_filter()
