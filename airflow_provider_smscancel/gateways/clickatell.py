"""Clickatell's two archived APIs on one host: REST (a token) and HTTP (user, password, API id, or a session).

Facts are from the vendor's archived documentation ("Stop message", "Delete message", "Authentication",
"Message status codes", "Error codes"); what is inferred rather than documented says so where it is used. The
newer platform API has no documented way to cancel, so it is not here.

What both make of an answer:

- Only message status 006, in an answer that names the message asked for, is ``CANCELLED``. A stop that came
  too late looks like a success: an HTTP 200 with status 003 or 004.
- An answer that names another message, or none, proves nothing: ``UNREADABLE``. (By client id, the HTTP API
  always names the gateway's own id; every line of it then has to agree.)
- An HTTP status counts for what it says only where the gateway's own words don't: a bare 404 is some proxy's.
"""

from airflow_provider_smscancel.gateways.clickatell_common import DEFAULT_BASE_URL
from airflow_provider_smscancel.gateways.clickatell_http import ClickatellHttp
from airflow_provider_smscancel.gateways.clickatell_rest import ClickatellRest

__all__ = ["DEFAULT_BASE_URL", "ClickatellHttp", "ClickatellRest"]
