"""The limits that hold for every answer's body, whichever transport reads it."""

from __future__ import annotations

import zlib

from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure, failure

BODY_LIMIT = 256 * 1024
"""The longest body that is read, in bytes, also after decompression. Gateways answer with a few hundred."""

# zlib's way of saying "gzip or zlib, find out".
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def plain_body(body: bytes, content_encoding: str | None, where: str) -> bytes:
    """Decompress a body that came compressed though nobody asked for it.

    :param body: as it came.
    :param content_encoding: the header's value, or ``None``. An unknown encoding leaves the body as it is.
    :param where: the gateway's scheme, host and port, for the error.
    :raises TransportFailure: (``TOO_LARGE`` or ``BROKEN``).
    """
    if content_encoding is None or not body:
        return body
    if content_encoding.strip().lower() not in {"gzip", "x-gzip", "deflate"}:
        return body
    reader = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = reader.decompress(body, BODY_LIMIT + 1)
        # A second part would be left out: of lines about several messages, some would seem to be all.
        is_whole = reader.eof and not reader.unused_data
    except zlib.error:
        plain, is_whole = b"", False
    if len(plain) > BODY_LIMIT:
        raise too_large(where)
    if not is_whole:
        raise failure(FailureKind.BROKEN, where, "the compressed body is damaged")
    return plain


def too_large(where: str) -> TransportFailure:
    """Build the failure for a body over the limit."""
    return failure(FailureKind.TOO_LARGE, where, f"over {BODY_LIMIT // 1024} KiB")
