"""The report: what became of each message, written while the run goes on, and read by the try that follows.

A folder of part files, each written whole and once, so that it works on any object store (no appends, no renames)::

    part-<owner>-<try>-<writer>-<n>.jsonl   one line per message that is settled
    run-<owner>.json                        which gateway, host and id_type the parts are about
    summary-<owner>.json                    the counts, at the end of each try

``owner`` stands for one task of one run, so that mapped tasks and later runs may share a folder. For a message with several
lines the last by (``try``, ``finished_at``) counts.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import secrets
import threading
import time
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow_provider_smscancel.campaigns.earlier import SettledEarlier
from airflow_provider_smscancel.campaigns.earlier_parts import (
    Found,
    Identity,
    look,
    read_part,
    read_run,
    run_name,
)
from airflow_provider_smscancel.campaigns.folders import (
    Folder,
    answered,
    asked_again,
    make_folder,
    names_in,
    why,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_smscancel.campaigns.messages import Campaign
    from airflow_provider_smscancel.campaigns.outcome import CancelResult

log = logging.getLogger(__name__)

PART_AFTER_S = 1.0
PART_AT_LEAST = 100
LONGEST_PART = 10_000
"""Lines: what is lost of them when a process is killed in the middle of writing is asked again."""
RETRY_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0)
READ_WITHIN_S = 30.0
"""How long a store may take for a listing or a part before its report is given up."""


def owner_of(*, dag_id: str, task_id: str, run_id: str, map_index: int) -> str:
    """Name one task of one run: 8 hexadecimal characters."""
    return sha256("\0".join((dag_id, task_id, run_id, str(map_index))).encode()).hexdigest()[:8]


def next_try(folder: Folder, owner: str) -> int:
    """Say which try comes next, for whoever is not told by Airflow: one more than the last that left something.

    A folder that can not be read counts as empty: :meth:`Journal.carried_over` warns about it.
    """
    left = re.compile(rf"part-{owner}-(\d+)-[0-9a-f]+-\d+\.jsonl|run-{owner}\.json")
    try:
        names = answered(lambda _: asked_again(lambda: names_in(folder)), within_s=READ_WITHIN_S)
        tries = [int(match[1] or 1) for name in names if (match := left.fullmatch(name))]
    except Exception:  # stores raise what they like
        return 1
    return max(tries, default=0) + 1


def report_line(result: CancelResult, try_number: int) -> str:
    """One line of the report."""
    return json.dumps(
        {
            "message_id": result.message_id,
            "outcome": result.outcome.value,
            "gateway_status": result.gateway_status,
            "detail": result.detail,
            "attempts": result.attempts,
            "try": try_number,
            "finished_at": result.finished_at.isoformat(),
        },
        ensure_ascii=True,  # a lone surrogate or a line separator of Unicode must not break a line
    )


class _RemovedError(Exception):
    """What was written before is not there any more."""


class Journal:
    """One try's side of a report. Writing happens in a thread of its own: a slow store never holds up a stop.

    :param folder: where the report lives.
    :param owner: see :func:`owner_of`.
    :param try_number: which try this is, from 1.
    :param identity: what the report is about.
    :param total: how many messages the campaign has; a part is due at 1 % of them.
    :param read_within_s: seconds that the store may take for a listing or a part, if not :data:`READ_WITHIN_S`.
    :param clock: seconds, monotonic.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        owner: str,
        try_number: int,
        identity: Identity,
        total: int,
        read_within_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.owner = owner
        self.try_number = try_number
        self._identity = identity
        self.read_within_s = READ_WITHIN_S if read_within_s is None else read_within_s
        self._part_at = max(PART_AT_LEAST, total // 100)
        self._clock = clock
        self._writer = secrets.token_hex(2)
        self._parts = 0
        self._queue: queue.SimpleQueue[list[CancelResult] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._close_by = float("inf")
        self._unwritten: list[str] = []
        self._line_try = try_number
        self._first_part: str | None = None
        self._found: Found | None = None
        self._fingerprint: str | None = None
        self._run_written = False
        self.error: str | None = None
        """What could not be written, or ``None``."""

    # -- what earlier tries have settled ----------------------------------------------------------------

    def carried_over(self, campaign: Campaign) -> SettledEarlier:
        """Read what earlier tries have settled for good, by index in ``campaign``.

        A torn line is passed over. A folder that can not be read carries nothing over: asking twice is safe. Of a store that does
        not answer any more, what it has told counts: messages leave meanwhile.
        """
        earlier = SettledEarlier(len(campaign))
        reading = threading.Lock()
        too_late = False

        def read(answered_something: Callable[[], None]) -> None:
            names = asked_again(self._list_parts).parts
            for name in names:
                answered_something()
                notes = read_part(self.folder, name, campaign)
                with reading:
                    if too_late:
                        return
                    for index, found, try_number, at in notes:
                        earlier.note(index, found, try_number=try_number, at=at)

        try:
            answered(read, within_s=self.read_within_s)
        except TimeoutError:
            with reading:
                too_late = True
            log.warning(
                "The report's store has not answered for %g s: what it has not told is asked again, which is safe."
                if earlier
                else "The report's store has not answered for %g s: every message is asked again, which is safe.",
                self.read_within_s,
            )
        except Exception as error:  # stores raise what they like
            log.warning(
                "The report can't be read (%s): every message is asked again, which is safe.",
                type(error).__name__,
            )
        return earlier

    def _list_parts(self) -> Found:
        found = self._look()
        # A run that is made anew under its old id counts its tries from 1 again: the last line by try would be an old one.
        if found.last_try > self.try_number:
            self._line_try = found.last_try + 1
        while f"{self.try_number}-{self._writer}" in found.writers:
            self._writer = secrets.token_hex(2)  # a try that is taken up by another process keeps its number
        self._found = found
        return found

    def _look(self) -> Found:
        return look(self.folder, self.owner, self._identity, try_number=self.try_number)

    @property
    def summary_name(self) -> str:
        """The file with the counts."""
        return f"summary-{self.owner}.json"

    # -- writing ----------------------------------------------------------------------------------------

    def start(self, fingerprint: str | None = None) -> None:
        """Begin to write, or again after :meth:`close`. Returns at once and never raises: a store that refuses is tried again.

        :param fingerprint: of the set of ids, gateway, host and id_type; ``None`` for the same as before.
        """
        self._close_by = float("inf")
        self._fingerprint = fingerprint or self._fingerprint
        # What is still being written from before comes first: two threads would take each other's lines.
        self._thread = threading.Thread(
            target=self._write_parts, args=(self._thread,), name="smscancel-journal", daemon=True
        )
        self._thread.start()

    def add(self, results: list[CancelResult]) -> None:
        """Take up what is settled. Returns at once."""
        self._queue.put(results)

    def close(self, summary: dict[str, Any] | None, *, within_s: float) -> None:
        """Write the last part and the summary.

        :param summary: ``None`` when the try is not over.
        :param within_s: seconds that this may take. What is not written by then is said in :attr:`error`.
        """
        self._close_by = self._clock() + within_s
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(within_s)
            if self._thread.is_alive():
                self.error = "the report's store did not take the last part in time"
                return
        if self._unwritten:
            self.error = (
                f"{self.error or 'the store refused'}; {len(self._unwritten)} lines are not in the report"
            )
            return
        self.error = None
        if summary is not None:
            self._close_with(summary)

    def _close_with(self, summary: dict[str, Any]) -> None:
        summary.setdefault("report_error", None)
        text = json.dumps(summary) + "\n"
        try:
            answered(lambda _: self._write_summary(text), within_s=max(0.1, self._close_by - self._clock()))
        except TimeoutError:
            self.error = "the report's store did not take the summary in time"
        except _RemovedError:
            self.error = "somebody has removed what was written of the report"
        except Exception as error:  # stores raise what they like
            self._refused(error)

    def _write_summary(self, text: str) -> None:
        if self._is_removed():
            raise _RemovedError
        if self._is_outlived():
            return None
        for wait in RETRY_AFTER_S:
            try:
                return self._write(self.summary_name, text)
            except Exception:  # stores raise what they like
                if self._clock() + wait >= self._close_by:
                    raise
            time.sleep(wait)
        return self._write(self.summary_name, text)

    def _is_outlived(self) -> bool:
        """Say whether a later try has told its counts already: Airflow took this one for dead, and they are no longer its to tell."""
        try:
            with (self.folder / self.summary_name).open("rb"):
                pass
            return self._look().last_try > self._line_try
        except Exception:  # there is none, or nobody may read there
            return False

    def _is_removed(self) -> bool:
        """Say whether what was written first is gone: a bucket says nothing when somebody empties it meanwhile."""
        if self._first_part is None:
            return False
        try:
            with (self.folder / self._first_part).open("rb"):
                return False
        except FileNotFoundError:
            return True
        except Exception:  # it may be that nobody may read there
            return False

    def _write_run(self) -> None:
        """Say what the parts are about. No part is written before: without it, the next try could not use them."""
        if self._run_written:
            return
        # What could not be listed when the try began may be about something else: it must not become ours.
        found = self._found or self._list_parts()
        make_folder(self.folder)
        content = asdict(self._identity) | {"fingerprint": self._fingerprint, "not_ours": found.not_ours}
        if found.from_try:
            content["from_try"] = found.from_try
        # Left as it is when nothing has changed: a kill in the middle of writing it would disown all earlier parts.
        if read_run(self.folder, self.owner) != content:
            self._write(run_name(self.owner), json.dumps(content) + "\n")
        self._run_written = True

    def _write_parts(self, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        failures = 0
        try:
            self._write_run()
        except BaseException as error:  # stores raise what they like
            self._refused(error)
        begun: float | None = None
        last = False
        while not last:
            wait = 3600.0 if begun is None else max(0.0, begun + PART_AFTER_S - self._clock())
            last = self._take(wait)
            if self._unwritten and begun is None:
                begun = self._clock()
            due = begun is not None and self._clock() - begun >= PART_AFTER_S
            full = len(self._unwritten) >= self._part_at and not failures
            if not (last or due or full) or not self._unwritten:
                continue
            if self._try_part():
                begun, failures = None, 0
            else:
                # Not tried again at every batch: after a failure the next attempt waits, ever longer.
                begun = self._clock() + RETRY_AFTER_S[min(failures, len(RETRY_AFTER_S) - 1)]
                failures += 1
        self._try_to_the_end()

    def _take(self, wait: float) -> bool:
        """Wait for results, then take all that are there: a slow store gets longer parts. Returns whether that was the end."""
        try:
            results = self._queue.get(timeout=wait)
            while results is not None:
                self._unwritten += [report_line(result, self._line_try) for result in results]
                if len(self._unwritten) >= LONGEST_PART:
                    return False
                results = self._queue.get_nowait()
        except queue.Empty:
            return False
        return True

    def _try_to_the_end(self) -> None:
        for wait in RETRY_AFTER_S:
            if not self._unwritten or self._clock() + wait >= self._close_by:
                return
            time.sleep(wait)
            if self._try_part():
                return

    def _try_part(self) -> bool:
        lines = self._unwritten
        try:
            self._write_run()
            name = f"part-{self.owner}-{self.try_number}-{self._writer}-{self._parts + 1:06d}.jsonl"
            self._write(name, "\n".join(lines) + "\n")
        except BaseException as error:  # stores raise what they like, and this thread is only theirs
            self._refused(error)
            # Somebody may have removed the folder: then it is made anew, with the file that says what it is about.
            self._run_written = self._run_written and not isinstance(error, FileNotFoundError)
            # Perhaps half of it is there: the next attempt takes another name, and the same line twice does no harm.
            self._parts += 1
            return False
        self._first_part = self._first_part or name
        self._parts += 1
        self._unwritten = []
        return True

    def _write(self, name: str, text: str) -> None:
        with (self.folder / name).open("wb") as file:
            file.write(text.encode())

    def _refused(self, error: BaseException) -> None:
        kind, _, more = why(error).partition(": ")
        said = f"the report's store refused: {kind}" + (f" ({more})" if more else "")
        if self.error is None:
            log.warning("%s. The run goes on; writing is tried again.", said[0].upper() + said[1:])
        self.error = said
