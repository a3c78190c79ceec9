"""Clickatell, as an Airflow hook."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from airflow_provider_smscancel.gateways.base import Gateway
from airflow_provider_smscancel.gateways.clickatell import ClickatellHttp, ClickatellRest
from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.provider_info import CLICKATELL
from airflow_provider_smscancel.transport.redaction import without_locals
from airflow_provider_smscancel.transport.settings import GatewaySettings

HORIZON = timedelta(days=7)
"""How far ahead Clickatell schedules (``deliv_time`` of the HTTP API: at most 10,080 minutes)."""


class ClickatellHook(SmsGatewayHook):
    """Cancels, asks about and sends messages through Clickatell's archived REST and HTTP APIs.

    The connection says which of the two (extra ``api``): REST needs the auth token as password, HTTP needs login, password
    and extra ``api_id``. The newer platform API (platform.clickatell.com) documents no way to cancel.

    :param clickatell_conn_id: the connection, of type ``clickatell``.
    """

    conn_name_attr = "clickatell_conn_id"
    default_conn_name = CLICKATELL.default_conn_id
    conn_type = CLICKATELL.name
    hook_name = CLICKATELL.label

    def __init__(self, clickatell_conn_id: str = CLICKATELL.default_conn_id) -> None:
        super().__init__(clickatell_conn_id)
        self.clickatell_conn_id = clickatell_conn_id

    def make_gateway(self, settings: GatewaySettings) -> Gateway:
        """Build the gateway of the API that the connection names."""
        return _gateway(settings)

    @without_locals
    def get_balance(self) -> Decimal:
        """Ask for the account's balance. Changes nothing.

        :return: credits, in the unit of the account.
        :raises SmsGatewayAuthError: the gateway refuses the account.
        :raises SmsGatewayUnavailable: no usable answer came; try again later.
        :raises SmsGatewayProtocolError: what answered is not that gateway; check the host.
        """
        gateway = self.gateway
        assert isinstance(gateway, ClickatellRest | ClickatellHttp)  # noqa: S101 - make_gateway builds no other
        found = self._caller.ask(gateway.balance(), gateway.read_balance)
        if isinstance(found, Decimal):
            return found
        raise self._error(found, "The balance is not known")

    def _session_headers(self) -> Mapping[str, str]:
        if isinstance(self.gateway, ClickatellRest):
            return self.gateway.balance().headers
        return {}

    def _check_horizon(self, scheduled_at: datetime | None) -> None:
        if scheduled_at is not None and scheduled_at - datetime.now(UTC) > HORIZON:
            raise ValueError("scheduled_at is more than 7 days ahead: Clickatell schedules no further.")


def _gateway(settings: GatewaySettings) -> Gateway:
    if settings.options["api"] == "http":
        return ClickatellHttp(
            base_url=settings.base_url,
            user=settings.login,
            password=settings.password,
            api_id=settings.options["api_id"],
        )
    return ClickatellRest(
        base_url=settings.base_url,
        token=settings.password,
        response_format=settings.options["response_format"],
    )
