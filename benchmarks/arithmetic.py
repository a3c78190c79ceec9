"""What is computed from what was measured: sliding seconds, and the best schedule that there could have been."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence


def busiest_second(times: Iterable[float], *, window_s: float = 1.0) -> int:
    """Count the most events in any sliding second.

    :param times: when each event was, in seconds, in order.
    :param window_s: how long the window is; an event exactly that long after another is outside of it.
    """
    within: deque[float] = deque()
    most = 0
    for time in times:
        while within and time - within[0] >= window_s:
            within.popleft()
        within.append(time)
        most = max(most, len(within))
    return most


def pace(times: Sequence[float]) -> float:
    """Return the events per second from the first to the last."""
    if len(times) < 2 or times[-1] <= times[0]:
        return 0.0
    return (len(times) - 1) / (times[-1] - times[0])


def most_saved(leaves: Iterable[float], slots: Iterable[float]) -> int:
    """Count how many messages the best possible schedule stops before they leave.

    Each slot is a moment at which one message can be stopped. Moore and Hodgson's rule for jobs of one length: take up
    the messages by the time at which they leave; whenever one does not fit any more, leave one out. No order saves more.

    :param leaves: when each message leaves.
    :param slots: when requests may arrive, in the same seconds.
    """
    waiting = sorted(leaves)
    next_slot = iter(sorted(slots))
    saved = 0
    slot = next(next_slot, None)
    for time in waiting:
        # The earliest slot that is free takes the message that leaves first; if even that one comes too late for it,
        # the message is lost whatever the order, and the slot stays free for the next.
        if slot is not None and slot < time:
            saved += 1
            slot = next(next_slot, None)
    return saved
