"""Esendex US, as an Airflow hook."""

from __future__ import annotations

import hmac
import re

from airflow_provider_smscancel.exceptions import SmsGatewayUnavailable
from airflow_provider_smscancel.gateways.base import Finding, Gateway, Verdict
from airflow_provider_smscancel.gateways.esendex import EsendexUs
from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.hooks.cancelling_all import IN_DOUBT, CancelsAll
from airflow_provider_smscancel.provider_info import ESENDEX
from airflow_provider_smscancel.transport.failure import TransportFailure
from airflow_provider_smscancel.transport.redaction import without_locals
from airflow_provider_smscancel.transport.settings import GatewaySettings


class EsendexHook(SmsGatewayHook, CancelsAll):
    """Cancels, asks about and sends messages through Esendex US (messaging.esendex.us, formerly CDYNE).

    Cancelling needs no licence key: whoever holds a message id can cancel it. Sending, the full status, the test and
    cancelling all need it, as the connection's password.

    :param esendex_conn_id: the connection, of type ``esendex``.
    """

    conn_name_attr = "esendex_conn_id"
    default_conn_name = ESENDEX.default_conn_id
    conn_type = ESENDEX.name
    hook_name = ESENDEX.label

    def __init__(self, esendex_conn_id: str = ESENDEX.default_conn_id) -> None:
        super().__init__(esendex_conn_id)
        self.esendex_conn_id = esendex_conn_id

    def make_gateway(self, settings: GatewaySettings) -> Gateway:
        """Build the gateway with the request format that the connection names."""
        return EsendexUs(
            base_url=settings.base_url,
            licence_key=settings.password,
            request_format=settings.options["request_format"],
        )

    def _test(self) -> tuple[bool, str]:
        label = self.gateway.label
        if not self.settings.password:
            return False, (
                f"{label}: there is no licence key to test with. Cancelling works without one; "
                "sending, the full status and this test need it (field: Licence key)."
            )
        # The service answers any key that is no GUID like a fault of its own, with a page of HTML and HTTP 400.
        digits = re.sub(r"[^0-9a-f]", "", self.settings.password.lower())
        if len(digits) != 32:
            return False, (
                f"{label} would refuse the account: the licence key is not a GUID (8-4-4-4-12 hexadecimal "
                "digits). Copy it anew into the field Licence key."
            )
        return super()._test()

    @without_locals
    def cancel_all_messages(self, *, confirm_last_four: str) -> bool:
        """Cancel everything that is scheduled under the connection's licence key, by anybody. Sent once, never repeated.

        :param confirm_last_four: the last four characters of the licence key, as a proof that you know whom it hits.
        :return: the gateway's word on whether it did. It names no messages: ask for the status of those that matter.
        :raises ValueError: no licence key, or the four characters do not match; nothing was sent.
        :raises SmsGatewayUnavailable: no usable answer; the text says whether everything may have been cancelled.
        """
        gateway = self.gateway
        assert isinstance(gateway, EsendexUs)  # noqa: S101 - make_gateway builds no other
        licence_key = self.settings.password
        if not licence_key:
            raise ValueError(
                f"Connection {self.conn_id!r} has no licence key: cancelling all needs it as password."
            )
        given = confirm_last_four.strip().lower() if isinstance(confirm_last_four, str) else ""
        if not hmac.compare_digest(given.encode(), licence_key[-4:].lower().encode()):
            raise ValueError(
                "confirm_last_four does not match the last four characters of the licence key: nothing was cancelled."
            )
        request = gateway.cancel_all()
        found: bool | Verdict | TransportFailure
        try:
            found = gateway.read_cancel_all(self._transport.send(request))
        except TransportFailure as failure:
            found = failure
        if isinstance(found, bool):
            return found
        if isinstance(found, TransportFailure):
            doubt = "Nothing was cancelled." if found.never_left else IN_DOUBT
            raise SmsGatewayUnavailable(f"{found} {doubt}")
        doubt = "Nothing was cancelled." if found.finding is Finding.BUSY else IN_DOUBT
        raise SmsGatewayUnavailable(
            f"{found.detail}. {doubt}", gateway_code=found.code, http_status=found.http_status
        )
