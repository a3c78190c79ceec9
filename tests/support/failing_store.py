"""A store that breaks down while a manifest is read from it."""

from __future__ import annotations

import io


class StoreThatFails:
    """Stands for a manifest whose store breaks down.

    :param good_reads: how many reads it answers before that.
    """

    name = "campaign.csv"

    def __init__(self, content: bytes, good_reads: int) -> None:
        self.content = content
        self.good_reads = good_reads

    def open(self, mode: str) -> io.RawIOBase:
        assert mode == "rb"
        store, content = self, io.BytesIO(self.content)

        class File(io.RawIOBase):
            def read(self, size: int = -1) -> bytes:
                store.good_reads -= 1
                if store.good_reads < 0:
                    raise TimeoutError("the store took too long")
                return content.read(size)

        return File()
