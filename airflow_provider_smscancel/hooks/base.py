"""What the hooks of all gateways share."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_smscancel.campaigns import CancelResult, MessageRef, MessageStatus, Outcome, SentMessage
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.sessions import AccountRefused
from airflow_provider_smscancel.campaigns.sources import add_ids
from airflow_provider_smscancel.campaigns.stream import ResultStream
from airflow_provider_smscancel.exceptions import (
    SmsGatewayAuthError,
    SmsGatewayError,
    SmsGatewayProtocolError,
    SmsGatewayRefused,
    SmsGatewayUnavailable,
)
from airflow_provider_smscancel.gateways.base import STATE_OF_FINDING, Finding, IdType, Verdict
from airflow_provider_smscancel.hooks.connecting import ConnectedHook
from airflow_provider_smscancel.provider_info import TAKE_CLIENT_IDS
from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure
from airflow_provider_smscancel.transport.redaction import without_locals

MAY_HAVE_BEEN_SENT = "The message may have been sent: check before sending it again."


class SmsGatewayHook(ConnectedHook):
    """Base of the hooks of SMS gateways. Nothing is read or sent until first use.

    A gateway's hook names its connection type and builds its :class:`~..gateways.base.Gateway`; all methods are here.

    :param conn_id: the connection.
    """

    # -- cancelling ---------------------------------------------------------------------------------------------------

    @without_locals
    def cancel_message(
        self, message_id: str | None = None, *, client_message_id: str | None = None
    ) -> CancelResult:
        """Stop one message that was scheduled ahead of time, and settle any doubt with a status query.

        :param message_id: the id that the gateway gave out.
        :param client_message_id: instead of it, the id that the sender chose, where the gateway cancels by it.
        :return: what became of it. Only the outcomes ``cancelled`` and ``already_cancelled`` say that it is stopped; a
            malformed id is ``rejected`` and nothing is sent.
        :raises SmsGatewayAuthError: the gateway refuses the account. Mend the connection.
        :raises ValueError: not exactly one id, or a kind of id that this connection does not cancel by.
        """
        text, id_type = self._one_id(message_id, client_message_id)
        error = self.gateway.id_error(text, id_type)
        if error is not None:
            return CancelResult("", Outcome.REJECTED, None, error, 0, datetime.now(UTC))
        try:
            return self._caller.stop(text, id_type)
        except AccountRefused as refused:
            verdict = refused.verdict
        raise self._refused_account(verdict)

    @without_locals
    def cancel_messages(
        self,
        messages: Iterable[str | Mapping[str, Any] | MessageRef],
        *,
        id_type: str = IdType.MESSAGE_ID,
        requests_per_second: float | None = None,
        max_concurrency: int | None = None,
        deadline: datetime | timedelta | float | None = None,
    ) -> Iterator[CancelResult]:
        """Stop many messages, concurrently, the most urgent first, and hand over what becomes of each as it settles.

        Input is checked and the first requests leave at this call, not at the first ``next``. Leaving the iterator early
        stops new requests and logs how many were not asked. Duplicates are asked once.

        :param messages: ids, mappings (``message_id``, optional ``scheduled_at``) or :class:`MessageRef`. An item that
            names no message is ``rejected``, with its position in ``detail``, and does not hold up the rest.
        :param id_type: ``message_id`` or ``client_message_id``.
        :param requests_per_second: overrides the connection's.
        :param max_concurrency: overrides the connection's.
        :param deadline: when to make no more requests: a timezone-aware datetime, a timedelta, or seconds from now. What
            was not asked by then is ``not_attempted``.
        :return: an iterator of one result per distinct message. After the last, an account refusal raises
            :class:`SmsGatewayAuthError`.
        :raises ValueError: a parameter or the connection is wrong; nothing was sent.
        """
        if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
            raise ValueError(
                "messages must be a list of ids, mappings or MessageRef; for a single id call cancel_message."
            )
        ends_at = _end_of(deadline)
        campaign = Campaign(self.gateway, self.check_id_type(id_type))
        service = self.service(requests_per_second=requests_per_second, max_concurrency=max_concurrency)
        add_ids(campaign, messages, "messages")
        if ends_at is not None:
            limits = replace(service.limits, deadline_s=max(0.0, ends_at - time.monotonic()))
            service = replace(service, limits=limits)
        return ResultStream(service, campaign, refused=self._refused_account, log=self.log)

    @without_locals
    def check_id_type(self, id_type: object) -> IdType:
        """Read the kind of ids, and check that this connection cancels by it.

        :raises ValueError: when it does not.
        """
        try:
            kind = IdType(str(id_type))
        except ValueError:
            raise ValueError(f"id_type must be one of {', '.join(IdType)}.") from None
        if kind not in self.gateway.id_types:
            raise ValueError(
                f"Connection {self.conn_id!r} does not cancel by {kind.value}: that takes {TAKE_CLIENT_IDS}."
            )
        return kind

    # -- asking and sending -------------------------------------------------------------------------------------------

    @without_locals
    def get_message_status(
        self, message_id: str | None = None, *, client_message_id: str | None = None
    ) -> MessageStatus:
        """Ask where one message is. Changes nothing.

        :param message_id: the id that the gateway gave out.
        :param client_message_id: instead of it, the id that the sender chose, where the gateway cancels by it.
        :return: its state; ``unknown`` also for an id that the gateway does not know.
        :raises SmsGatewayAuthError: the gateway refuses the account.
        :raises SmsGatewayRefused: the gateway refuses this request for good.
        :raises SmsGatewayUnavailable: no usable answer came; try again later.
        :raises SmsGatewayProtocolError: what answered is not that gateway; check the host.
        :raises ValueError: not exactly one id, or a malformed one; nothing was sent.
        """
        text, id_type = self._one_id(message_id, client_message_id)
        error = self.gateway.id_error(text, id_type)
        if error is not None:
            raise ValueError(f"Nothing was asked: {error}")
        try:
            found = self._status(text, id_type)
        except AccountRefused as refused:
            found = refused.verdict
        if isinstance(found, Verdict) and found.finding in STATE_OF_FINDING:
            return MessageStatus(text, STATE_OF_FINDING[found.finding], found.code, found.detail)
        raise self._error(found, "The status is not known")

    def _status(self, text: str, id_type: IdType) -> Verdict | TransportFailure:
        found = self._status_verdict(text, id_type, full=self.gateway.has_full_status)
        if self.gateway.has_full_status and not (
            isinstance(found, Verdict) and found.finding in STATE_OF_FINDING
        ):
            # The fuller call needs a credential; the plain one does not, and its word is as good.
            found = self._status_verdict(text, id_type, full=False)
        return found

    def _status_verdict(self, text: str, id_type: IdType, *, full: bool) -> Verdict | TransportFailure:
        request = self.gateway.status(text, id_type, full=full)
        # A refusal of the fuller call is no error: the plain one follows it.
        ask = self._caller.ask if full else self._caller.ask_about_message
        return ask(request, lambda answer: self.gateway.read_status(text, id_type, answer))

    @without_locals
    def send_message(
        self,
        to: str | Sequence[str],
        text: str,
        *,
        scheduled_at: datetime | None = None,
        client_message_id: str | None = None,
    ) -> list[SentMessage]:
        """Send one text, now or later. Never repeated unless it provably never left.

        :param to: one number or several, in international form.
        :param text: what to say.
        :param scheduled_at: when to send it, timezone-aware; ``None`` sends at once. How far ahead is the gateway's to say.
        :param client_message_id: an id of your own.
        :return: one entry per recipient, in the order given, each with its id or why it was refused.
        :raises ValueError: a naive ``scheduled_at``, no recipient, a missing licence key, …; nothing was sent.
        :raises SmsGatewayAuthError: the gateway refuses the account; nothing was sent.
        :raises SmsGatewayRefused: the gateway refuses the request; nothing was sent.
        :raises SmsGatewayUnavailable: no usable answer; the text says whether it may have been sent.
        """
        if scheduled_at is not None and not isinstance(scheduled_at, datetime):
            raise ValueError("scheduled_at must be a datetime with a time zone, or None.")
        if scheduled_at is not None and scheduled_at.utcoffset() is None:
            raise ValueError(
                "scheduled_at has no time zone: pass an aware datetime, such as datetime.now(timezone.utc) + timedelta(hours=1)."
            )
        self._check_horizon(scheduled_at)
        numbers = [to] if isinstance(to, str) else list(to)
        request = self.gateway.send(
            numbers, text, scheduled_at=scheduled_at, client_message_id=client_message_id
        )
        found = self._caller.send_once(request, lambda answer: self.gateway.read_send(numbers, answer))
        if isinstance(found, list):
            return found
        if isinstance(found, Verdict) and found.finding in (Finding.FAULT, Finding.UNREADABLE):
            raise SmsGatewayUnavailable(
                f"{found.detail}. {MAY_HAVE_BEEN_SENT}",
                gateway_code=found.code,
                http_status=found.http_status,
            )
        if isinstance(found, TransportFailure) and not found.never_left:
            raise SmsGatewayUnavailable(f"{found} {MAY_HAVE_BEEN_SENT}")
        raise self._error(found, "Nothing was sent")

    def _check_horizon(self, scheduled_at: datetime | None) -> None:
        """Refuse a date that the gateway would not take, where it documents such a limit."""

    @without_locals
    def test_connection(self) -> tuple[bool, str]:
        """Check the connection with a harmless, read-only call.

        :return: whether it works, and one line that says what is wrong and what to do.
        """
        try:
            return self._test()
        except Exception as error:  # Airflow shows the text and nothing else
            return False, str(error) or type(error).__name__

    def _test(self) -> tuple[bool, str]:
        request = self.gateway.account_check()
        label = self.gateway.label
        if request is None:
            field = self.connection_kind().relabeling.get("password", "password")
            return False, f"{label}: there is nothing to test with. Fill in the field {field}."
        found = self._caller.ask_impatiently(request, self.gateway.read_account_check)
        if isinstance(found, TransportFailure):
            return False, str(found)
        if found.finding is Finding.ACCEPTED:
            return True, f"{label} accepts the credentials."
        if found.finding is Finding.UNREADABLE:
            return (
                False,
                f"What answers at {self.gateway.base_url} is not {label}: check the host ({found.detail}).",
            )
        if found.finding is Finding.ACCOUNT:
            return False, f"{label} refuses the account: {found.detail}"
        return False, f"{label} can not be checked now: {found.detail}"

    # -- errors -------------------------------------------------------------------------------------------------------

    def _one_id(self, message_id: str | None, client_message_id: str | None) -> tuple[str, IdType]:
        if (message_id is None) == (client_message_id is None):
            raise ValueError("Pass exactly one of message_id and client_message_id.")
        text, id_type = message_id, IdType.MESSAGE_ID
        if client_message_id is not None:
            text, id_type = client_message_id, self.check_id_type(IdType.CLIENT_MESSAGE_ID)
        if not isinstance(text, str):
            raise ValueError(f"The id must be text, not {type(text).__name__}: quote it.")
        return text.strip(), id_type

    def _refused_account(self, verdict: Verdict) -> SmsGatewayAuthError:
        return SmsGatewayAuthError(
            f"{self.gateway.label} refuses the account of connection {self.conn_id!r}: {verdict.detail}",
            gateway_code=verdict.code,
            http_status=verdict.http_status,
        )

    def _error(self, found: object, what: str) -> SmsGatewayError:
        if isinstance(found, TransportFailure):
            kind = SmsGatewayProtocolError if found.kind is FailureKind.TOO_LARGE else SmsGatewayUnavailable
            return kind(f"{what}: {found}")
        assert isinstance(found, Verdict)  # noqa: S101 - nothing else is left
        if found.finding is Finding.ACCOUNT:
            return self._refused_account(found)
        error = _ERRORS.get(found.finding, SmsGatewayUnavailable)
        return error(f"{what}: {found.detail}", gateway_code=found.code, http_status=found.http_status)


_ERRORS: Mapping[Finding, type[SmsGatewayError]] = {
    Finding.REFUSED: SmsGatewayRefused,
    Finding.UNREADABLE: SmsGatewayProtocolError,
}


def _end_of(deadline: datetime | timedelta | float | None) -> float | None:
    """Say when to make no more requests, in seconds of the monotonic clock."""
    if deadline is None:
        return None
    now = time.monotonic()
    if isinstance(deadline, datetime):
        if deadline.utcoffset() is None:
            raise ValueError("deadline has no time zone: pass an aware datetime, a timedelta or seconds.")
        deadline = deadline - datetime.now(UTC)
    if isinstance(deadline, timedelta):
        deadline = deadline.total_seconds()
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not math.isfinite(deadline):
        raise ValueError("deadline must be an aware datetime, a timedelta or seconds from now.")
    return now + deadline
