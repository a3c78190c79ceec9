"""Clickatell's status and error codes, and what each of them says about a message or an account.

Source of the codes: Clickatell's archived documentation of its HTTP and REST APIs ("Message status codes",
"Error codes"). The texts are ours, and tell what to do where something can be done: the gateway's own
descriptions are never passed on, since they may hold a phone number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_smscancel.gateways.base import Answer, Finding, Verdict
from airflow_provider_smscancel.gateways.reading import verdict_on

if TYPE_CHECKING:
    from collections.abc import Mapping

GATEWAY = "Clickatell"

_CODE = re.compile(r"[0-9]{1,6}")

_STATUSES: Mapping[str, tuple[Finding, str]] = {
    "001": (Finding.UNSURE, "unknown, or reporting is delayed"),
    "002": (Finding.PENDING, "queued, not cancelled"),
    "003": (Finding.SENT, "handed to the carrier, too late to stop"),
    "004": (Finding.SENT, "received by the phone, too late to stop"),
    "005": (Finding.DEAD, "failed: an error with the message"),
    "006": (Finding.CANCELLED, "cancelled"),
    "007": (Finding.DEAD, "failed: an error while delivering"),
    "008": (Finding.PENDING, "accepted by the gateway, not cancelled"),
    "009": (Finding.DEAD, "failed: a routing error"),
    "010": (Finding.DEAD, "expired before it was delivered"),
    "011": (Finding.PENDING, "scheduled for later, not cancelled"),
    "012": (Finding.DEAD, "failed: the account is out of credit"),
    "013": (Finding.DEAD, "cancelled by Clickatell's staff"),
    "014": (Finding.DEAD, "failed: a limit was exceeded"),
}

_ERRORS: Mapping[str, str] = {
    "001": "authentication failed: check the connection's credentials",
    "002": "unknown user name or password: check the connection's login and password",
    "003": "the session has expired",
    "004": "the account is frozen: ask Clickatell's support",
    "005": "the session id is missing or unknown",
    "007": (
        "IP lockdown: the account does not allow this machine's address. Add it to the API's allowed "
        "addresses, or run from an allowed one"
    ),
    "100": "malformed data",
    "101": "invalid or missing parameters",
    "102": "invalid user data header",
    "103": "unknown message id",
    "104": "unknown client message id",
    "105": "invalid destination number",
    "106": "invalid source number",
    "107": "the message is empty",
    "108": "invalid or missing API id: check the connection's API id, or the token that stands for it",
    "109": "the message id is missing",
    "113": "the message has too many parts",
    "114": "no route to the destination",
    "115": "the message has expired",
    "116": "invalid Unicode data",
    "120": "invalid delivery time or client message id",
    "121": "the destination is blocked",
    "122": "the destination has opted out",
    "123": "invalid sender id",
    "128": "the destination is delisted",
    "130": "a sending limit is reached for the time being",
    "160": "this method is not supported",
    "161": "no such message",
    "165": (
        "the X-Version header did not arrive or is not accepted: a proxy that strips it, or a host that is "
        "not Clickatell's archived REST API"
    ),
    "166": "the Accept header is not accepted",
    "167": "the Content-Type header is not accepted",
    "201": "invalid batch id",
    "202": "no batch template",
    "301": "no credit left: top up the account",
    "901": "an internal error of the gateway: try again later",
}

# 130 is documented as a limit "until" some time, so it passes: refusing for good would give a message up.
_SHARED_FINDINGS: Mapping[str, Finding] = {
    "001": Finding.ACCOUNT,
    "007": Finding.ACCOUNT,
    "108": Finding.ACCOUNT,
    "103": Finding.UNKNOWN_ID,
    "104": Finding.UNKNOWN_ID,
    "130": Finding.BUSY,
    "901": Finding.FAULT,
}
REST_FINDINGS: Mapping[str, Finding] = {
    **_SHARED_FINDINGS,
    "161": Finding.UNKNOWN_ID,
    "165": Finding.ACCOUNT,
}
"""What an error code of the REST API means where it is not plainly ``REFUSED``."""

HTTP_FINDINGS: Mapping[str, Finding] = {
    **_SHARED_FINDINGS,
    "002": Finding.ACCOUNT,
    "004": Finding.ACCOUNT,
    "003": Finding.SESSION,
    "005": Finding.SESSION,
}
"""What an error code of the HTTP API means where it is not plainly ``REFUSED``."""

# Built once: in a campaign of a million, nearly every answer is an HTTP 200 with one of these.
_PLAIN_VERDICTS: Mapping[str, Verdict] = {
    code: Verdict(finding, code, f"status {code}: {text}", http_status=200)
    for code, (finding, text) in _STATUSES.items()
}


def read_code(value: object) -> str | None:
    """Bring a code to the gateway's own form, three digits with leading zeros.

    :param value: a string or an integer, padded or not, of at most six digits.
    :returns: ``None`` for anything else: booleans, fractions, words.
    """
    if isinstance(value, int):
        value = str(value)  # a boolean becomes a word, and a word is no code
    if isinstance(value, str) and _CODE.fullmatch(value):
        return value.zfill(3)
    return None


def status_verdict(value: object, answer: Answer) -> Verdict:
    """Say what a message status means, in an answer that is known to be about our message.

    Only 006 is ``CANCELLED``: a stop that came too late is answered like a success, with status 003 or 004.

    :param value: the status as it came.
    :returns: ``UNREADABLE`` for a status that is not documented; its code is kept.
    """
    if isinstance(value, str) and answer.status == 200 and "Retry-After" not in answer.headers:
        usual = _PLAIN_VERDICTS.get(value)
        if usual is not None:
            return usual
    code = read_code(value)
    plain = _PLAIN_VERDICTS.get(code) if code else None
    if plain is not None:
        return verdict_on(answer, plain.finding, code, plain.detail)
    detail = f"unknown message status {code}" if code else "no message status, or one that can't be read"
    return verdict_on(answer, Finding.UNREADABLE, code, detail)


def error_text(code: str | None) -> str:
    """Say in our words what an error code means: one line, without anything that the gateway wrote."""
    if code is None:
        return "an error without a code"
    text = _ERRORS.get(code)
    return f"error {code}: {text}" if text else f"error {code}"


def error_verdict(code: str | None, answer: Answer, findings: Mapping[str, Finding]) -> Verdict:
    """Say what an error means for the request that met it.

    :param code: as :func:`read_code` returns it.
    :param findings: :data:`REST_FINDINGS` or :data:`HTTP_FINDINGS`.
    """
    # An HTTP status of "slow down" or "my fault" outweighs the code: neither is a judgement of the request.
    if answer.status == 429:
        return verdict_on(answer, Finding.BUSY, code, f"HTTP 429: asked to slow down ({error_text(code)})")
    if answer.status >= 500:
        return verdict_on(answer, Finding.FAULT, code, f"HTTP {answer.status} with {error_text(code)}")
    if code is None:
        # The gateway's own word that something went wrong, though not what. A repeat of a stop does no harm,
        # and what lasts is settled by a status query: so it counts as passing, rather than as a refusal.
        return verdict_on(answer, Finding.FAULT, None, error_text(None))
    return verdict_on(answer, findings.get(code, Finding.REFUSED), code, error_text(code))


def names_no_message(verdict: Verdict) -> Verdict:
    """Correct a verdict on a call that is about no message: "no such message" then refuses the call."""
    if verdict.finding is not Finding.UNKNOWN_ID:
        return verdict
    return Verdict(Finding.REFUSED, verdict.code, verdict.detail, verdict.retry_after, verdict.http_status)
