"""The one description of this provider's connection types.

Everything that shows or checks a connection is made from :data:`CONNECTION_TYPES`: the declarative form of
Airflow 3.2+, the form widgets of older versions, the names in ``airflow providers hooks``, and the checks that
``transport.settings`` makes when a connection is used. A new gateway adds one entry here.

Facts about the forms of each Airflow version: the declarative fields are read by 3.2+, the Python methods by 2.11
and 3.1; Airflow 3.0 without the FAB provider shows the standard fields only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = "airflow-provider-smscancel"

PORT_PLACEHOLDER = "443: without a port, Airflow 3.3.1 and 3.3.2 can not test it"
"""Their Test button answers "Bad Request" to a connection without a port, whatever its type."""


@dataclass(frozen=True, slots=True)
class ExtraField:
    """One field of a connection's ``extra``.

    :param name: its key in ``extra``.
    :param label: what the form calls it.
    :param kind: ``choice`` (one of ``choices``), ``text``, ``number`` or ``integer`` (from ``minimum`` to
        ``maximum``).
    :param help: one or two sentences for the person who fills it in.
    :param default: what an empty field means.
    """

    name: str
    label: str
    kind: Literal["choice", "text", "number", "integer"]
    help: str
    default: str | float | None = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def json_schema(self) -> dict[str, Any]:
        """The JSON schema that Airflow 3.2+ draws the field from. It allows null: the form saves blanks so."""
        json_type = "string" if self.kind in ("choice", "text") else self.kind
        schema: dict[str, Any] = {"type": [json_type, "null"]}
        if self.default is not None:
            schema["default"] = self.default
        if self.choices:
            schema["enum"] = [*self.choices]
        if self.minimum is not None:
            schema["minimum"] = self.minimum
        if self.maximum is not None:
            schema["maximum"] = self.maximum
        return schema


@dataclass(frozen=True, slots=True)
class ConnectionType:
    """One connection type: how it is named, which hook serves it, and what its form asks for."""

    name: str
    label: str
    hook_class: str
    default_conn_id: str
    default_base_url: str
    doc_url: str
    """The vendor's own page on cancelling a message."""
    extra_fields: tuple[ExtraField, ...]
    hidden_fields: tuple[str, ...]
    relabeling: Mapping[str, str] = field(default_factory=dict)
    placeholders: Mapping[str, str] = field(default_factory=dict)
    id_shape: str | None = None
    """A regular expression of the documented form of this gateway's ids: tells a person whose ids a wrong list holds."""
    client_ids: str | None = None
    """Which connections of this type cancel by the id that the sender chose, in words; ``None`` where none does."""
    cancels_all: bool = False
    """Whether it can cancel all that is scheduled at once: the hook is then a :class:`~..hooks.cancelling_all.CancelsAll`."""

    def ui_field_behaviour(self) -> dict[str, Any]:
        """Which standard fields the form hides, renames and explains, in the shape that Airflow expects."""
        return {
            "hidden-fields": [*self.hidden_fields],
            "relabeling": dict(self.relabeling),
            "placeholders": dict(self.placeholders),
        }

    def conn_fields(self) -> dict[str, Any]:
        """Describe the extra fields in the shape that Airflow 3.2+ expects."""
        return {
            extra.name: {"label": extra.label, "description": extra.help, "schema": extra.json_schema}
            for extra in self.extra_fields
        }


def _pace_fields(rate: int, rate_help: str, concurrency: int) -> tuple[ExtraField, ...]:
    return (
        ExtraField(
            "requests_per_second",
            "Requests per second",
            "number",
            f"The pace of a campaign, never exceeded. 0.1 to 10000; empty = {rate}. {rate_help}",
            default=rate,
            minimum=0.1,
            maximum=10_000,
        ),
        ExtraField(
            "max_concurrency",
            "Concurrent requests",
            "integer",
            f"How many requests may be under way at the same time. 1 to 1000; empty = {concurrency}.",
            default=concurrency,
            minimum=1,
            maximum=1000,
        ),
        ExtraField(
            "timeout",
            "Time limit (s)",
            "number",
            "Seconds that one request may take from connecting to the last byte. 0.1 to 300; empty = 10.",
            default=10,
            minimum=0.1,
            maximum=300,
        ),
    )


CLICKATELL = ConnectionType(
    name="clickatell",
    label="Clickatell",
    hook_class="airflow_provider_smscancel.hooks.clickatell.ClickatellHook",
    default_conn_id="clickatell_default",
    default_base_url="https://api.clickatell.com",
    doc_url=(
        "https://guides.clickatell.com/clickatell-chat-commerce-platform/developer/archive/sms-rest-api-overview/stop-message"
    ),
    extra_fields=(
        ExtraField(
            "api",
            "API",
            "choice",
            "Which of Clickatell's APIs the messages were sent through: rest (an auth token) or http (user, "
            "password and API ID).",
            default="rest",
            choices=("rest", "http"),
        ),
        ExtraField(
            "api_id",
            "API ID",
            "text",
            "HTTP API only: the API ID from Clickatell's own pages. Leave empty for REST.",
        ),
        ExtraField(
            "response_format",
            "Answer format",
            "choice",
            "REST only: the format that answers are asked for in. json unless Clickatell's support says "
            "otherwise.",
            default="json",
            choices=("json", "xml"),
        ),
        *_pace_fields(
            100, "Clickatell documents about 100 a second for sending, and no rate for stopping.", 32
        ),
    ),
    hidden_fields=("schema",),
    relabeling={
        "host": "Base URL",
        "login": "API username",
        "password": "Auth token or password",
    },
    placeholders={
        "host": "leave empty for https://api.clickatell.com",
        "port": PORT_PLACEHOLDER,
        "login": "HTTP API only; leave it empty for REST",
        "password": "REST: the auth token; HTTP API: the API password",
    },
    id_shape="[0-9A-Fa-f]{32}",
    client_ids="Clickatell's HTTP API (extra api = http)",
)

ESENDEX = ConnectionType(
    name="esendex",
    label="Esendex US",
    hook_class="airflow_provider_smscancel.hooks.esendex.EsendexHook",
    default_conn_id="esendex_default",
    default_base_url="https://messaging.esendex.us",
    doc_url="https://esendex.us/docs/sms-api/api/methods/CancelMessage",
    extra_fields=(
        ExtraField(
            "request_format",
            "Request format",
            "choice",
            "How a stop is sent: json unless something between here and Esendex needs another. soap is SOAP 1.2 "
            "with addressing.",
            default="json",
            choices=("json", "xml", "get", "soap"),
        ),
        *_pace_fields(25, "Esendex documents no rate: 25 is this package's guess.", 16),
    ),
    hidden_fields=("schema", "login"),
    relabeling={"host": "Base URL", "password": "Licence key"},
    placeholders={
        "host": "leave empty for https://messaging.esendex.us",
        "port": PORT_PLACEHOLDER,
        "password": "not needed to cancel; needed to send and to test",
    },
    id_shape="[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    cancels_all=True,
)

CONNECTION_TYPES: dict[str, ConnectionType] = {kind.name: kind for kind in (CLICKATELL, ESENDEX)}
"""Every connection type by its name."""

GATEWAYS = " or ".join(kind.label for kind in CONNECTION_TYPES.values())
"""All gateways, as a sentence names them."""

TAKE_CLIENT_IDS = " or ".join(kind.client_ids for kind in CONNECTION_TYPES.values() if kind.client_ids)
"""What cancels by the id that the sender chose."""

CANCEL_ALL = " or ".join(kind.label for kind in CONNECTION_TYPES.values() if kind.cancels_all)
"""The gateways that can cancel all that is scheduled at once."""


def provider_info(version: str) -> dict[str, Any]:
    """Build what Airflow's provider manager reads.

    :param version: this distribution's version.
    """
    return {
        "package-name": PACKAGE,
        "name": "SMS campaign cancellation",
        "description": (
            f"Stops SMS campaigns scheduled at {GATEWAYS}, and says for every message whether it was stopped."
        ),
        "versions": [version],
        "integrations": [
            {
                "integration-name": kind.label,
                "external-doc-url": kind.doc_url,
                "how-to-guide": [f"/docs/{kind.name}.md", "/docs/on-call.md", "/docs/operator.md"],
                "tags": ["service"],
            }
            for kind in CONNECTION_TYPES.values()
        ],
        "hooks": [
            {"integration-name": kind.label, "python-modules": [kind.hook_class.rpartition(".")[0]]}
            for kind in CONNECTION_TYPES.values()
        ],
        "operators": [
            {
                "integration-name": kind.label,
                "python-modules": [
                    "airflow_provider_smscancel.operators.cancel_message",
                    "airflow_provider_smscancel.operators.look_at_campaign",
                ],
            }
            for kind in CONNECTION_TYPES.values()
        ],
        "triggers": [
            {
                "integration-name": kind.label,
                "python-modules": ["airflow_provider_smscancel.triggers.cancel_messages"],
            }
            for kind in CONNECTION_TYPES.values()
        ],
        "notifications": ["airflow_provider_smscancel.notifications.cancel_message.CancelMessageNotifier"],
        "extra-links": ["airflow_provider_smscancel.links.report.ReportLink"],
        "connection-types": [
            {
                "connection-type": kind.name,
                "hook-name": kind.label,
                "hook-class-name": kind.hook_class,
                "ui-field-behaviour": kind.ui_field_behaviour(),
                "conn-fields": kind.conn_fields(),
            }
            for kind in CONNECTION_TYPES.values()
        ],
        "cli": ["airflow_provider_smscancel.cli.definition.get_cli_commands"],
        "config": {
            "smscancel": {
                "description": "Where cancelled campaigns are recorded.",
                "options": {
                    "report_folder": {
                        "description": (
                            "Folder (absolute path or object storage URL) under which each task of "
                            "CancelMessageOperator keeps its report, in a folder of its own. Empty: tasks that "
                            "name no report_path keep none."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@my-bucket/sms-cancellations",
                        "default": "",
                    }
                },
            }
        },
    }
