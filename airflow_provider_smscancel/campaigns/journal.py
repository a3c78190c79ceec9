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
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow_provider_smscancel.campaigns.earlier import CarriedOver, SettledEarlier
from airflow_provider_smscancel.campaigns.folders import Folder, lines_in, make_folder, names_in, why
from airflow_provider_smscancel.campaigns.outcome import CancelResult, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_smscancel.campaigns.messages import Campaign

log = logging.getLogger(__name__)

PART_AFTER_S = 1.0
PART_AT_LEAST = 100
RETRY_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0)
READ_WITHIN_S = 30.0
"""How long a store may take for a listing or a part before its report is given up."""
LONGEST_LINE = 65_536


@dataclass(frozen=True, slots=True)
class Identity:
    """What a report is about. Parts about anything else are never taken for ours.

    :param gateway: the connection type.
    :param host: the gateway's base URL.
    :param id_type: what kind of ids.
    """

    gateway: str
    host: str
    id_type: str


def owner_of(*, dag_id: str, task_id: str, run_id: str, map_index: int) -> str:
    """Name one task of one run: 8 hexadecimal characters."""
    return sha256("\0".join((dag_id, task_id, run_id, str(map_index))).encode()).hexdigest()[:8]


def next_try(folder: Folder, owner: str) -> int:
    """Say which try comes next, for whoever is not told by Airflow: one more than the last that left something.

    A folder that can not be read counts as empty: :meth:`Journal.carried_over` warns about it.
    """
    left = re.compile(rf"part-{owner}-(\d+)-[0-9a-f]+-\d+\.jsonl|run-{owner}\.json")
    try:
        tries = [int(match[1] or 1) for name in names_in(folder) if (match := left.fullmatch(name))]
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
        self._read_within_s = READ_WITHIN_S if read_within_s is None else read_within_s
        self._part_at = max(PART_AT_LEAST, total // 100)
        self._clock = clock
        self._writer = secrets.token_hex(2)
        self._parts = 0
        self._queue: queue.SimpleQueue[list[CancelResult] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._close_by = float("inf")
        self._unwritten: list[str] = []
        self._not_ours: list[str] = []
        self._listed = False
        self._read = 0
        self._fingerprint: str | None = None
        self._run_written = False
        self.error: str | None = None
        """What could not be written, or ``None``."""

    # -- what earlier tries have settled ----------------------------------------------------------------

    def carried_over(self, campaign: Campaign) -> SettledEarlier:
        """Read what earlier tries have settled for good, by index in ``campaign``.

        A torn line is passed over. A folder that can not be read carries nothing over: asking twice is safe. Nor does a store
        that does not answer: messages leave meanwhile.
        """
        earlier = SettledEarlier(len(campaign))
        reader = threading.Thread(target=self._read_parts, args=(campaign, earlier), daemon=True)
        reader.start()
        while reader.is_alive():
            before = self._read
            reader.join(self._read_within_s)
            if reader.is_alive() and self._read == before:
                log.warning(
                    "The report's store has not answered for %g s: every message is asked again, which is safe.",
                    self._read_within_s,
                )
                return SettledEarlier(len(campaign))
        return earlier

    def _read_parts(self, campaign: Campaign, earlier: SettledEarlier) -> None:
        try:
            names = self._own_parts()
        except Exception as error:  # stores raise what they like
            log.warning(
                "The report can't be read (%s): every message is asked again, which is safe.",
                type(error).__name__,
            )
            return
        self._read += 1
        for name in names:
            self._read_part(name, campaign, earlier)

    def _own_parts(self) -> list[str]:
        found = self._list_parts()
        while f"{self.try_number}-{self._writer}" in {writer for writer, _ in found}:
            self._writer = secrets.token_hex(2)  # a try that is taken up by another process keeps its number
        run = self._read_run() if found else {}
        self._listed = True
        if not found:
            return []
        if {key: run.get(key) for key in asdict(self._identity)} != asdict(self._identity):
            log.warning(
                "The report folder holds parts of this task that are about another gateway, host or id_type (or do not say): "
                "they are left alone, and every message is asked."
            )
            self._not_ours = sorted({writer for writer, _ in found})
            return []
        self._not_ours = [writer for writer in run.get("not_ours", []) if isinstance(writer, str)]
        return sorted(name for writer, name in found if writer not in self._not_ours)

    def _list_parts(self) -> list[tuple[str, str]]:
        mine = re.compile(rf"part-{self.owner}-(\d+-[0-9a-f]+)-\d+\.jsonl")
        return [(match[1], match[0]) for name in names_in(self.folder) if (match := mine.fullmatch(name))]

    def _read_run(self) -> dict[str, Any]:
        try:
            with (self.folder / self._run_name).open("rb") as file:
                found = json.loads(file.read(LONGEST_LINE))
        except (FileNotFoundError, ValueError, RecursionError):
            return {}  # missing or torn: it does not say that the parts are ours
        return found if isinstance(found, dict) else {}

    def _read_part(self, name: str, campaign: Campaign, earlier: SettledEarlier) -> None:
        torn = 0
        try:
            with (self.folder / name).open("rb") as file:
                for line in lines_in(file, longest=LONGEST_LINE):
                    read = _read_line(line)
                    if read is None:
                        torn += 1
                        continue
                    message_id, found, try_number, at = read
                    index = campaign.index_of(message_id)
                    if index is not None:
                        earlier.note(index, found, try_number=try_number, at=at)
            self._read += 1
        except Exception as error:  # stores raise what they like
            log.warning("Part %s can't be read to its end (%s).", name, type(error).__name__)
        if torn:
            log.warning(
                "Part %s has %d lines that can't be read: those messages are asked again.", name, torn
            )

    @property
    def summary_name(self) -> str:
        """The file with the counts."""
        return f"summary-{self.owner}.json"

    # -- writing ----------------------------------------------------------------------------------------

    @property
    def _run_name(self) -> str:
        return f"run-{self.owner}.json"

    def start(self, fingerprint: str | None = None) -> None:
        """Begin to write, or again after :meth:`close`. Returns at once and never raises: a store that refuses is tried again.

        :param fingerprint: of the set of ids, gateway, host and id_type; ``None`` for the same as before.
        """
        if self._thread is not None and self._thread.is_alive():
            return  # stuck in a store that does not answer: what comes now is not written, and close() says so
        self._close_by = float("inf")
        self._fingerprint = fingerprint or self._fingerprint
        self._thread = threading.Thread(target=self._write_parts, name="smscancel-journal", daemon=True)
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
        if summary is None:
            return
        summary["report_error"] = None
        finisher = threading.Thread(target=self._write_summary, args=(summary,), daemon=True)
        finisher.start()
        finisher.join(max(0.1, self._close_by - self._clock()))
        if finisher.is_alive():
            self.error = "the report's store did not take the summary in time"

    def _write_summary(self, summary: dict[str, Any]) -> None:
        try:
            if not self._is_outlived():
                self._write(self.summary_name, json.dumps(summary) + "\n")
        except Exception as error:  # stores raise what they like
            self._refused(error)

    def _is_outlived(self) -> bool:
        """Say whether a later try has told its counts already: Airflow took this one for dead, and they are no longer its to tell."""
        try:
            with (self.folder / self.summary_name).open("rb"):
                pass
        except FileNotFoundError:
            return False
        return any(int(writer.partition("-")[0]) > self.try_number for writer, _ in self._list_parts())

    def _write_run(self) -> None:
        """Say what the parts are about. No part is written before: without it, the next try could not use them."""
        if self._run_written:
            return
        if not self._listed:
            # What could not be listed when the try began may be about something else: it must not become ours.
            self._own_parts()
        make_folder(self.folder)
        content = asdict(self._identity) | {"fingerprint": self._fingerprint, "not_ours": self._not_ours}
        # Left as it is when nothing has changed: a kill in the middle of writing it would disown all earlier parts.
        if self._read_run() != content:
            self._write(self._run_name, json.dumps(content) + "\n")
        self._run_written = True

    def _write_parts(self) -> None:
        failures = 0
        try:
            self._write_run()
        except Exception as error:  # stores raise what they like
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
        """Wait for results, then take all that are there. Returns whether that was the end."""
        try:
            results = self._queue.get(timeout=wait)
            while results is not None:
                self._unwritten += [report_line(result, self.try_number) for result in results]
                if len(self._unwritten) >= self._part_at:
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
        name = f"part-{self.owner}-{self.try_number}-{self._writer}-{self._parts + 1:06d}.jsonl"
        try:
            self._write_run()
            self._write(name, "\n".join(lines) + "\n")
        except Exception as error:  # stores raise what they like
            self._refused(error)
            # Somebody may have removed the folder: then it is made anew, with the file that says what it is about.
            self._run_written = self._run_written and not isinstance(error, FileNotFoundError)
            # Perhaps half of it is there: the next attempt takes another name, and the same line twice does no harm.
            self._parts += 1
            return False
        self._parts += 1
        self._unwritten = []
        return True

    def _write(self, name: str, text: str) -> None:
        with (self.folder / name).open("wb") as file:
            file.write(text.encode())

    def _refused(self, error: Exception) -> None:
        kind, _, more = why(error).partition(": ")
        said = f"the report's store refused: {kind}" + (f" ({more})" if more else "")
        if self.error is None:
            log.warning("%s. The run goes on; writing is tried again.", said[0].upper() + said[1:])
        self.error = said


def _read_line(line: bytes) -> tuple[str, CarriedOver, int, float] | None:
    try:
        row = json.loads(line)
        status = row["gateway_status"]
        found = CarriedOver(Outcome(row["outcome"]), status if isinstance(status, str) else None)
        at = datetime.fromisoformat(row["finished_at"]).timestamp()
        return str(row["message_id"]), found, max(0, int(row["try"])), at
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
