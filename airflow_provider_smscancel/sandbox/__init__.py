"""Both gateways on loopback, with a ground truth to compare with and faults to inject.

Run it with ``python -m airflow_provider_smscancel.sandbox``, or inside a test with
:class:`airflow_provider_smscancel.sandbox.server.SandboxServer`. It needs the extra ``sandbox``
(Starlette and uvicorn; Airflow 3 brings both).

It is written from the vendors' pages alone and shares no code with ``gateways/``: a misreading there must not
be mirrored here. Where the vendors do not say what happens, each module states what the sandbox does instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

CLICKATELL: Final = "clickatell"
ESENDEX: Final = "esendex"
GATEWAYS: Final = (CLICKATELL, ESENDEX)

CLICKATELL_TOKEN: Final = "sandbox-token"  # noqa: S105 - opens nothing but the sandbox
CLICKATELL_USER: Final = "sandbox"
CLICKATELL_PASSWORD: Final = "sandbox-password"  # noqa: S105 - opens nothing but the sandbox
CLICKATELL_API_ID: Final = "sandbox-api"
ESENDEX_LICENSE_KEY: Final = "5a9dbe5a-0000-4000-8000-5a9dbe5a0000"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the sandbox takes. Others than the usual ones are for tests that look for a leak: these are easily found."""

    token: str = field(default=CLICKATELL_TOKEN, repr=False)
    user: str = field(default=CLICKATELL_USER, repr=False)
    password: str = field(default=CLICKATELL_PASSWORD, repr=False)
    api_id: str = field(default=CLICKATELL_API_ID, repr=False)
    licence_key: str = field(default=ESENDEX_LICENSE_KEY, repr=False)


USUAL_CREDENTIALS: Final = Credentials()

MISSING_EXTRA: Final = (
    "the sandbox needs Starlette and uvicorn: run pip install 'airflow-provider-smscancel[sandbox]'"
)
"""What to do when one of the two is missing."""
