"""What the hooks of all gateways share."""

from __future__ import annotations

import contextlib
import json
import math
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_smscancel._airflow import BaseHook, mask_secret
from airflow_provider_smscancel.campaigns import CancelResult, MessageRef, MessageStatus, Outcome, SentMessage
from airflow_provider_smscancel.campaigns.job import Service
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.run import Limits
from airflow_provider_smscancel.campaigns.sessions import AccountRefused
from airflow_provider_smscancel.campaigns.single import Caller
from airflow_provider_smscancel.campaigns.sources import add_ids
from airflow_provider_smscancel.campaigns.stream import ResultStream
from airflow_provider_smscancel.exceptions import (
    SmsGatewayAuthError,
    SmsGatewayError,
    SmsGatewayProtocolError,
    SmsGatewayRefused,
    SmsGatewayUnavailable,
)
from airflow_provider_smscancel.gateways.base import STATE_OF_FINDING, Finding, Gateway, IdType, Verdict
from airflow_provider_smscancel.provider_info import (
    CONNECTION_TYPES,
    TAKE_CLIENT_IDS,
    ConnectionType,
    ExtraField,
)
from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure
from airflow_provider_smscancel.transport.redaction import secret_forms, without_locals
from airflow_provider_smscancel.transport.settings import (
    GatewaySettings,
    SettingsError,
    check_number,
    read_settings,
)
from airflow_provider_smscancel.transport.sync import SyncTransport

if TYPE_CHECKING:
    import requests

A_NUMBER = r"^\d+(\.\d+)?$"
MAY_HAVE_BEEN_SENT = "The message may have been sent: check before sending it again."


class SmsGatewayHook(BaseHook):
    """Base of the hooks of SMS gateways. Nothing is read or sent until first use.

    A gateway's hook names its connection type and builds its :class:`~..gateways.base.Gateway`; all methods are here.

    :param conn_id: the connection.
    """

    conn_name_attr: ClassVar[str]
    default_conn_name: ClassVar[str]
    conn_type: ClassVar[str]
    hook_name: ClassVar[str]

    def __init_subclass__(cls, **options: Any) -> None:
        """Give each gateway's hook the methods that describe its form as its own."""
        super().__init_subclass__(**options)
        # Airflow before 3.2 looks for them in the very class that it was told of, and in none above it.
        for name in ("get_ui_field_behaviour", "get_connection_form_widgets"):
            if name not in vars(cls):
                setattr(cls, name, vars(SmsGatewayHook)[name])

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id

    # -- the connection -----------------------------------------------------------------------------------------------

    @classmethod
    def connection_kind(cls) -> ConnectionType:
        """Return the one description of this hook's connection type."""
        return CONNECTION_TYPES[cls.conn_type]

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Say which standard fields the form hides and renames (Airflow before 3.2; later ones read provider_info)."""
        described = cls.connection_kind().ui_field_behaviour()
        return {key.replace("-", "_"): value for key, value in described.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Make the extra fields of the form (Airflow before 3.2; later ones read provider_info)."""
        return {field.name: _widget(field) for field in cls.connection_kind().extra_fields}

    @abstractmethod
    def make_gateway(self, settings: GatewaySettings) -> Gateway:
        """Build the gateway of a checked connection.

        :raises ValueError: when the connection lacks what the gateway needs.
        """

    @cached_property
    @without_locals
    def settings(self) -> GatewaySettings:
        """The checked connection.

        :raises ValueError: naming the field that is wrong.
        """
        connection = self.get_connection(self.conn_id)
        kind = self.connection_kind()
        if connection.conn_type != self.conn_type:
            raise SettingsError(
                f"Connection {self.conn_id!r} is of type {connection.conn_type!r}: {type(self).__name__} "
                f"needs one of type {self.conn_type!r} ({kind.label})."
            )
        for form in secret_forms(connection.password or ""):
            mask_secret(form)
        return read_settings(
            kind,
            host=connection.host,
            port=connection.port,
            schema=connection.schema,
            login=connection.login,
            password=connection.password,
            extra=_extra_of(connection, self.conn_id),
        )

    @cached_property
    @without_locals
    def gateway(self) -> Gateway:
        """The gateway that the connection leads to.

        :raises ValueError: naming the field of the connection that is wrong or missing.
        """
        try:
            gateway = self.make_gateway(self.settings)
        except SettingsError:
            raise
        except ValueError as error:
            raise SettingsError(f"Connection {self.conn_id!r}: {error}") from None
        for secret in gateway.secrets:
            for form in secret_forms(secret):
                mask_secret(form)
        return gateway

    @cached_property
    @without_locals
    def _transport(self) -> SyncTransport:
        return SyncTransport(
            self.settings.base_url, timeout=self.settings.timeout, default_headers=self._session_headers()
        )

    def _session_headers(self) -> Mapping[str, str]:
        return {}

    @cached_property
    def _caller(self) -> Caller:
        return Caller(self.gateway, self._transport.send)

    @without_locals
    def get_conn(self) -> requests.Session:
        """Give the session that single calls go through.

        It takes paths (``/rest/account/balance``) as well as URLs of the connection's own host, and refuses any other
        host, follows no redirects, and reads no ``.netrc``.
        """
        _ = self.gateway  # a connection that is wrong is told before anything is sent
        return self._transport.session

    @without_locals
    def service(
        self,
        *,
        requests_per_second: float | None = None,
        max_concurrency: int | None = None,
        give_up_after: timedelta = timedelta(minutes=10),
        deadline_s: float | None = None,
    ) -> Service:
        """Put together what running a campaign through this connection takes.

        :param requests_per_second: overrides the connection's.
        :param max_concurrency: overrides the connection's.
        :param give_up_after: how long the gateway may be down before the run ends.
        :param deadline_s: how many seconds the run may take, or ``None``.
        :raises ValueError: when one of them is out of range, or the connection is wrong.
        """
        settings = self.settings
        rate, concurrency = settings.requests_per_second, settings.max_concurrency
        if requests_per_second is not None:
            rate = check_number("requests_per_second", requests_per_second, 0.1, 10_000)
        if max_concurrency is not None:
            concurrency = int(check_number("max_concurrency", max_concurrency, 1, 1000, whole=True))
        # Imported only where many requests are made: it brings aiohttp.
        from airflow_provider_smscancel.transport.aio import AsyncTransport

        return Service(
            gateway=self.gateway,
            open_transport=lambda: AsyncTransport(settings.base_url, timeout=settings.timeout),
            limits=Limits(rate, concurrency, give_up_after.total_seconds(), deadline_s),
        )

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


def _extra_of(connection: Any, conn_id: str) -> Mapping[str, Any]:
    text = connection.extra
    if not text or not str(text).strip():
        return {}
    extra: object = None
    with contextlib.suppress(ValueError, RecursionError):  # the parser's own error quotes the text
        extra = json.loads(text)
        if extra is None:
            return {}
    if extra is None:
        raise SettingsError(f"Connection {conn_id!r}: extra is not JSON that can be read.")
    if not isinstance(extra, dict):
        raise SettingsError(f"Connection {conn_id!r}: extra must be a JSON object, such as {{}}.")
    return extra


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


def _widget(field: ExtraField) -> Any:
    # Airflow 2 and 3.1 draw the form with these; they are no dependency of Airflow 3, which reads provider_info instead.
    # A hook that has a field of another class than string, integer, password or boolean is left out as a whole.
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import IntegerField, StringField
    from wtforms.validators import NumberRange, Optional, Regexp, any_of

    checks = {
        "choice": [any_of([*field.choices])],
        "integer": [NumberRange(min=field.minimum, max=field.maximum)],
        "number": [Regexp(A_NUMBER)],
        "text": [],
    }
    return (IntegerField if field.kind == "integer" else StringField)(
        lazy_gettext(field.label),
        default=field.default if field.kind == "choice" else None,
        description=field.help,
        validators=[Optional(), *checks[field.kind]],
        widget=BS3TextFieldWidget(),
    )
