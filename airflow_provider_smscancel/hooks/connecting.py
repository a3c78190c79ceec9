"""From an Airflow connection to a gateway: the fields of its form, its settings, and the ways to it."""

from __future__ import annotations

import contextlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_smscancel._airflow import BaseHook, mask_secret
from airflow_provider_smscancel.campaigns.job import Service
from airflow_provider_smscancel.campaigns.run import Limits
from airflow_provider_smscancel.campaigns.single import Caller
from airflow_provider_smscancel.gateways.base import Gateway
from airflow_provider_smscancel.provider_info import (
    CONNECTION_TYPES,
    ConnectionType,
    ExtraField,
)
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


class ConnectedHook(BaseHook):
    """What a hook makes of a connection: the form, the checked settings, the gateway, and the ways to it.

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
                setattr(cls, name, vars(ConnectedHook)[name])

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id

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
