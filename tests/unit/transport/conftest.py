"""What the tests of both transports share."""

from support.both_transports import certificate, client, plain_environment, serve

__all__ = ["certificate", "client", "plain_environment", "serve"]
