"""What can go wrong with an SMS gateway, as exceptions.

::

    SmsGatewayError                 base of all: catch it to catch everything this package raises about a gateway
    ├── SmsGatewayAuthError         the account was refused: wrong credentials, IP lockdown, frozen account.
    │                               Repeating is pointless; mend the connection.
    ├── SmsGatewayRefused           the gateway refuses this very request for good. Mend the request.
    ├── SmsGatewayUnavailable       no answer, or an answer that asks to come back later. Worth a retry;
    │                               the text says whether the request may have been acted upon.
    └── SmsGatewayProtocolError     what answered does not speak like that gateway (a proxy's page, say).
                                    Check the connection's host.

Every one carries ``gateway_code`` (the gateway's own code, a string such as ``"001"``, or ``None``) and
``http_status`` (an integer, or ``None`` when there was no HTTP answer). No text holds a secret, a phone number or a
message's text.
"""

from __future__ import annotations


class SmsGatewayError(Exception):
    """Base of every error that this package raises about a gateway.

    :param message: one line for a person: what happened and what to do.
    :param gateway_code: the gateway's own code, or ``None`` when it gave none.
    :param http_status: the HTTP status of the answer, or ``None`` when there was none.
    """

    def __init__(
        self, message: str, *, gateway_code: str | None = None, http_status: int | None = None
    ) -> None:
        super().__init__(message)
        self.gateway_code = gateway_code
        self.http_status = http_status

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders in Airflow; the default reduction would lose both attributes' values.
        state = {"gateway_code": self.gateway_code, "http_status": self.http_status}
        return (type(self), (str(self),), state)


class SmsGatewayAuthError(SmsGatewayError):
    """The account was refused: permanent until somebody mends the connection or the account."""


class SmsGatewayRefused(SmsGatewayError):
    """The gateway refuses this request for good: repeating it unchanged is pointless."""


class SmsGatewayUnavailable(SmsGatewayError):
    """No usable answer came in time: worth a retry, unless the text says that the request may have been acted upon."""


class SmsGatewayProtocolError(SmsGatewayError):
    """An answer came, but not one of that gateway: check the connection's host."""
