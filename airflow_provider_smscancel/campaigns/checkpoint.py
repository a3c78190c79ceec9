"""Where there is no report: what is settled, kept in a store of small JSON values, and read by the try that follows.

The ids fall into buckets by a hash, and stand in each in the order of their canonical form. So their place depends on nothing but
the set of ids, and four bits are enough for each: 0 is open, another number stands for an entry of the bucket's list of outcomes::

    smscancel-campaigns          {"<fingerprint>": <how many buckets>}
    smscancel-<fingerprint>-<n>  {"outcomes": [["cancelled", "006"]], "codes": "<base64>", "check": "<hexadecimal>"}

``check`` is a digest of the bucket's ids, the outcomes and the codes: what is torn, or was written about other ids, is passed over.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import time
import zlib
from array import array
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_smscancel.campaigns.earlier import CarriedOver, SettledEarlier
from airflow_provider_smscancel.campaigns.folders import asked_again
from airflow_provider_smscancel.campaigns.outcome import CARRIED_OVER, Outcome

if TYPE_CHECKING:
    from airflow_provider_smscancel.campaigns.messages import Campaign

log = logging.getLogger(__name__)

INDEX_KEY = "smscancel-campaigns"
IDS_PER_KEY = 50_000
"""On average. Their codes take 33 kB, which leaves room for an uneven hash below the 60 kB that a value may have."""
MOST_KEYS = 10_000
EVERY_S = 1.0
SHARE_OF_TIME = 0.05
"""How much of the waiting thread's time writing may take: a campaign of a million messages has twenty values to write."""
AFTER_REFUSAL_S = 10.0
USUAL_STATUS = re.compile(r"[ -~]{0,32}")
"""A status that is no such text is not kept: no store must have a reason to refuse a value."""
MOST_OUTCOMES = 15
"""What four bits can tell apart, besides 0."""


class Store(Protocol):
    """What is needed of a store: Airflow's task state store offers it. It may raise what it likes."""

    def get(self, key: str, /) -> Any:
        """Return a value, or ``None`` when there is none."""

    def set(self, key: str, value: Any, /) -> None:
        """Write a value: plain JSON."""

    def delete(self, key: str, /) -> None:
        """Delete a value, if there is one."""


class Checkpoint:
    """What is settled of one campaign, in a store.

    :meth:`note` may be called in another thread than the rest. Nothing here raises what the store raises: it is logged once, and
    the run goes on. What is not written is asked again by the next try, which is safe.

    :param store: where to keep it. It is only called in the thread that calls the methods here.
    :param host: the gateway's base URL.
    :param clock: seconds, monotonic.
    """

    def __init__(self, store: Store, *, host: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._host = host
        self._clock = clock
        self._layout = _Layout()
        self._written: dict[str, int] | None = None
        """How many buckets the store has, by fingerprint: earlier tries may have had another list. ``None`` until it has said so."""
        self._earlier: dict[int, list[tuple[int, int]]] = {}
        """What it held of each bucket, by place: empty for those that were taken over when the try began."""
        self._codes: list[bytearray] = []
        self._dirty = bytearray()
        # An outcome without its status is always there to fall back on when there are more statuses than numbers.
        self._outcomes = [CarriedOver(outcome, None) for outcome in Outcome if outcome in CARRIED_OVER]
        self._numbers = {found: number for number, found in enumerate(self._outcomes, 1)}
        self._next_at = clock() + EVERY_S
        self._refused = False

    def carried_over(self, campaign: Campaign) -> SettledEarlier:
        """Read what earlier tries have settled for good, by index in ``campaign``.

        Whatever is not what this class wrote about the very same set of ids is passed over.
        """
        self._layout = layout = _Layout.of(campaign, self._host)
        self._codes = [bytearray((len(members) + 1) // 2) for members in layout.members]
        self._dirty = bytearray(len(layout.members))
        carried = SettledEarlier(len(campaign))
        try:
            asked_again(self._find_written)
            for number in range(len(layout.members)):
                for index, found in asked_again(lambda number=number: self._kept(number)):  # type: ignore[misc]
                    carried.note(index, found, try_number=0, at=0.0)
                    self.note(index, found.outcome, found.gateway_status)
                self._earlier[number] = []
        except Exception as error:  # stores raise what they like
            self._tell(error)
        self._dirty = bytearray(len(layout.members))  # the store has all of this already
        return carried

    def note(self, index: int, outcome: Outcome, gateway_status: str | None) -> None:
        """Take up what became of a message. What is not settled for good is not kept.

        :param index: in the campaign that was given to :meth:`carried_over`.
        """
        if outcome not in CARRIED_OVER:
            return
        code = self._number(outcome, gateway_status)
        number, place = self._layout.bucket_of[index], self._layout.place_of[index]
        codes, shift = self._codes[number], place % 2 * 4
        codes[place // 2] = codes[place // 2] & ~(15 << shift) | code << shift
        # Last: whoever finds this not set may rely on having seen the code.
        self._dirty[number] = 1

    def save_now_and_then(self) -> None:
        """Write what is new, unless that was done a moment ago or takes too much of the time."""
        now = self._clock()
        if now < self._next_at:
            return
        written = self._write(float("inf"))
        after = self._clock()
        self._next_at = max(now + EVERY_S, now + (after - now) / SHARE_OF_TIME)
        if not written:
            self._next_at = max(self._next_at, after + AFTER_REFUSAL_S)

    def save(self, *, within_s: float) -> None:
        """Write what is new, at the end of a try.

        :param within_s: seconds after which no further value is begun.
        """
        self._write(self._clock() + within_s)

    def clear(self) -> None:
        """Delete all that was kept, by this try and by earlier ones."""
        try:
            written = self._find_written()
            for fingerprint, count in written.items():
                for number in range(count):
                    self._store.delete(_key(fingerprint, number))
            if written:
                self._store.delete(INDEX_KEY)
        except Exception as error:  # stores raise what they like
            log.warning(
                "The task state store refused to forget (%s): if this task is cleared by hand, it does not ask again about what it "
                "has settled.",
                type(error).__name__,
            )

    # -- reading --------------------------------------------------------------------------------------------------------

    def _find_written(self) -> dict[str, int]:
        if self._written is None:
            self._written = _read_index(self._store.get(INDEX_KEY))
        return self._written

    def _kept(self, number: int) -> list[tuple[int, CarriedOver]]:
        if number >= self._find_written().get(self._layout.fingerprint, 0):
            return []
        return list(self._read(number, self._store.get(self._layout.key(number))))

    def _read(self, number: int, value: Any) -> Iterator[tuple[int, CarriedOver]]:
        members = self._layout.members[number]
        try:
            outcomes = [CarriedOver(Outcome(outcome), status) for outcome, status in value["outcomes"]]
            codes = base64.b64decode(value["codes"], validate=True)
            is_ours = value["check"] == self._layout.check(number, outcomes, codes)
        except (KeyError, TypeError, ValueError, RecursionError):
            is_ours = False
        if not is_ours:
            if value is not None:
                log.warning("A value in the task state store is not of this campaign: it is passed over.")
            return
        for place, index in enumerate(members):
            code = codes[place // 2] >> place % 2 * 4 & 15
            if code:
                yield index, outcomes[code - 1]

    # -- writing --------------------------------------------------------------------------------------------------------

    def _number(self, outcome: Outcome, gateway_status: str | None) -> int:
        if gateway_status is not None and not USUAL_STATUS.fullmatch(gateway_status):
            gateway_status = None
        found = CarriedOver(outcome, gateway_status)
        number = self._numbers.get(found)
        if number is None:
            if len(self._outcomes) == MOST_OUTCOMES:
                return self._numbers[CarriedOver(outcome, None)]
            self._outcomes.append(found)
            number = self._numbers[found] = len(self._outcomes)
        return number

    def _write(self, until: float) -> bool:
        """Write what is new. Returns whether the store took it."""
        if not any(self._dirty):
            return True
        fingerprint, count = self._layout.fingerprint, len(self._codes)
        try:
            # First, so that whatever is written can be found and deleted.
            written = self._find_written()
            self._take_in_what_was_not_read()
            if written.get(fingerprint, 0) < count:
                self._store.set(INDEX_KEY, {**written, fingerprint: count})
                written[fingerprint] = count
            for number in range(count):
                if self._dirty[number] and self._clock() < until:
                    self._write_bucket(number)
        except Exception as error:  # stores raise what they like
            self._tell(error)
            return False
        return True

    def _take_in_what_was_not_read(self) -> None:
        """Read what the store did not tell when the try began: it must not be written over by the little that is settled anew.

        Without the statuses: their list grows in another thread.
        """
        for number in range(len(self._codes)):
            if number not in self._earlier:
                self._earlier[number] = [
                    (self._layout.place_of[index], self._numbers[CarriedOver(found.outcome, None)])
                    for index, found in self._kept(number)
                ]

    def _write_bucket(self, number: int) -> None:
        # In this order: what is noted meanwhile is either in the copy, and then its outcome is in the list, or it is new again.
        self._dirty[number] = 0
        codes = bytearray(bytes(self._codes[number]))
        outcomes = self._outcomes[:]
        for place, code in self._earlier[number]:
            if not codes[place // 2] >> place % 2 * 4 & 15:
                codes[place // 2] |= code << place % 2 * 4
        try:
            self._store.set(
                self._layout.key(number),
                {
                    "outcomes": _plain(outcomes),
                    "codes": base64.b64encode(codes).decode(),
                    "check": self._layout.check(number, outcomes, codes),
                },
            )
        except BaseException:
            self._dirty[number] = 1
            raise

    def _tell(self, error: Exception) -> None:
        if not self._refused:
            self._refused = True
            log.warning(
                "The task state store refused (%s). The run goes on; what it does not keep is asked again by a retry, which is safe.",
                type(error).__name__,
            )


class _Layout:
    """Where the code of each message stands."""

    def __init__(self) -> None:
        self.fingerprint = ""
        self.members: list[array[int]] = []
        """The indexes of the messages of each bucket, in the order of their codes."""
        self.bucket_of: array[int] = array("H")
        self.place_of: array[int] = array("I")
        self._digests: list[bytes] = []

    @classmethod
    def of(cls, campaign: Campaign, host: str) -> _Layout:
        """Lay out a campaign."""
        layout = cls()
        layout.fingerprint = campaign.fingerprint(host)
        count = -(-len(campaign) // IDS_PER_KEY)
        canonical, id_type = campaign.gateway.canonical_id, campaign.id_type
        layout.members = [array("I") for _ in range(count)]
        layout.place_of = array("I", bytes(len(campaign) * array("I").itemsize))
        for index, key in enumerate(campaign.ids.canonical()):
            number = zlib.crc32(key.encode()) % count
            layout.bucket_of.append(number)
            layout.members[number].append(index)
        for number, members in enumerate(layout.members):
            ids = {index: canonical(campaign.ids[index], id_type) for index in members}
            layout.members[number] = array("I", sorted(members, key=ids.__getitem__))
            for place, index in enumerate(layout.members[number]):
                layout.place_of[index] = place
            in_order = "\0".join(ids[index] for index in layout.members[number])
            layout._digests.append(blake2b(in_order.encode(), digest_size=16).digest())
        return layout

    def key(self, number: int) -> str:
        """Name the value of a bucket."""
        return _key(self.fingerprint, number)

    def check(self, number: int, outcomes: list[CarriedOver], codes: bytes | bytearray) -> str:
        """Digest what a value says, together with which ids it says it about."""
        head = json.dumps([1, self.fingerprint, number, _plain(outcomes)])
        return blake2b(head.encode() + self._digests[number] + codes, digest_size=16).hexdigest()


def _key(fingerprint: str, number: int) -> str:
    return f"smscancel-{fingerprint}-{number}"


def _plain(outcomes: list[CarriedOver]) -> list[list[str | None]]:
    return [[found.outcome.value, found.gateway_status] for found in outcomes]


def _read_index(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    return {
        fingerprint: count
        for fingerprint, count in value.items()
        if re.fullmatch(r"[0-9a-f]{32}", str(fingerprint))
        and isinstance(count, int)
        and 0 < count <= MOST_KEYS
    }
