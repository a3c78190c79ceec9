"""A million ids in a few dozen megabytes.

As Python strings in a list and a dictionary, a million ids cost about 250 MB. Here an id that is 32 hexadecimal digits, or a GUID,
takes its 16 bytes, and looking one up goes through a table of numbers instead of a dictionary of objects: about 45 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import overload

_TEXT, _HEX, _GUID = b"\0", b"\1", b"\2"
_KIND_OF_LENGTH = {32: _HEX, 36: _GUID}
_AS_KEY, _UPPER_CASE, _OTHERWISE = range(3)
"""How an id was spelled: like its canonical form, that in upper case, or some other way."""
_FREE = -1
_SMALLEST_TABLE = 1024


class IdList(Sequence[str]):
    """Distinct ids in the order in which they came, each spelled as it came, and found by its canonical form."""

    def __init__(self) -> None:
        self._packed = bytearray()
        self._ends = array("Q")
        self._spelling = bytearray()
        self._odd: dict[int, str] = {}
        self._slots = array("i", [_FREE]) * _SMALLEST_TABLE

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        ends = self._ends
        if index < 0:
            index += len(ends)
        if not 0 <= index < len(ends):
            raise IndexError(index)
        spelling = self._spelling[index]
        if spelling == _OTHERWISE:
            return self._odd[index]
        # Not through _entry(): this is asked for with every request.
        key = _unpack(self._packed[ends[index - 1] if index else 0 : ends[index]])
        return key.upper() if spelling == _UPPER_CASE else key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}>"

    def add(self, message_id: str, key: str) -> tuple[int, bool]:
        """Take up an id, unless one with the same canonical form is there.

        :param message_id: as it came.
        :param key: its canonical form.
        :return: its place, and whether it is new.
        """
        entry = _pack(key)
        slot, index = self._look_up(entry)
        if index != _FREE:
            return index, False
        index = self._slots[slot] = len(self._ends)
        self._packed += entry
        self._ends.append(len(self._packed))
        spelling = _AS_KEY
        if message_id != key:
            spelling = _UPPER_CASE if key.upper() == message_id else _OTHERWISE
            if spelling == _OTHERWISE:
                self._odd[index] = message_id
        self._spelling.append(spelling)
        if 2 * len(self) > len(self._slots):
            self._grow()
        return index, True

    def find(self, key: str) -> int | None:
        """Find the place of an id by its canonical form."""
        index = self._look_up(_pack(key))[1]
        return None if index == _FREE else index

    def canonical(self) -> Iterator[str]:
        """Go through the canonical forms, in the order in which the ids came."""
        return (_unpack(self._entry(index)) for index in range(len(self)))

    def _entry(self, index: int) -> bytearray:
        start = self._ends[index - 1] if index else 0
        return self._packed[start : self._ends[index]]

    def _look_up(self, entry: bytes) -> tuple[int, int]:
        """Find the slot of an entry, or the free one where it belongs. At most half of the slots are taken."""
        mask = len(self._slots) - 1
        slot = hash(entry) & mask
        while (index := self._slots[slot]) != _FREE and self._entry(index) != entry:
            slot = (slot + 1) & mask
        return slot, index

    def _grow(self) -> None:
        self._slots = array("i", [_FREE]) * (4 * len(self._slots))
        mask = len(self._slots) - 1
        for index in range(len(self)):
            slot = hash(bytes(self._entry(index))) & mask
            while self._slots[slot] != _FREE:
                slot = (slot + 1) & mask
            self._slots[slot] = index


def _pack(key: str) -> bytes:
    if len(key) in _KIND_OF_LENGTH:
        try:
            entry = _KIND_OF_LENGTH[len(key)] + bytes.fromhex(key.replace("-", ""))
        except ValueError:
            entry = b""
        # Only what comes out again letter for letter: fromhex() also takes capitals, and blanks between the digits.
        if len(entry) == 17 and _unpack(entry) == key:
            return entry
    return _TEXT + key.encode("utf-8", "surrogatepass")


def _unpack(entry: bytes | bytearray) -> str:
    kind = entry[0]
    if kind == _TEXT[0]:
        return entry[1:].decode("utf-8", "surrogatepass")
    text = entry.hex()[2:]
    if kind == _HEX[0]:
        return text
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
