"""The trigger that stops a campaign in the triggerer, so that no worker is occupied meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_smscancel.triggers.beginning import Beginning

if TYPE_CHECKING:
    from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
    from airflow_provider_smscancel.common.metrics import Meter


class CancelMessagesTrigger(BaseTrigger):
    """Stops a campaign in the triggerer. ``CancelMessageOperator`` makes it when it is ``deferrable``.

    It fires one event, which the operator's ``execute_complete`` reads: how the run ended, the summary, at most 100 messages
    that were not stopped, and the refusal of the account if there was one.

    When the triggerer ends or breaks down, another one takes the trigger up and resumes from the report; without a report,
    it asks about every message again, which is safe. When the task is marked failed or cleared, no new request is made, and
    what is in flight is cut after 2 s.

    Everything here is plain JSON and no secret: of the connection, only the id travels.

    :param sms_conn_id: the connection.
    :param id_type: what kind of ids.
    :param campaign: a name for logs and the summary.
    :param report_path: the folder of the report, or ``None``.
    :param list_name: the file in it with the list of messages; or
    :param messages: the list itself, in the lines of that file.
    :param owner: the owner of the report, see ``campaigns.journal``.
    :param try_number: which try of the task this is, from 1.
    :param started_at: when the try began, ISO 8601.
    :param requests_per_second: the pace.
    :param max_concurrency: how many requests may be under way.
    :param give_up_after_s: how long the gateway may be down, in seconds.
    :param ends_at: when to end at the latest, in seconds since 1970, or ``None``.
    """

    def __init__(
        self,
        *,
        sms_conn_id: str,
        id_type: str,
        campaign: str | None,
        report_path: str | None,
        list_name: str | None,
        messages: str | None,
        owner: str | None,
        try_number: int,
        started_at: str,
        requests_per_second: float,
        max_concurrency: int,
        give_up_after_s: float,
        ends_at: float | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sms_conn_id = sms_conn_id
        self.id_type = id_type
        self.campaign = campaign
        self.report_path = report_path
        self.list_name = list_name
        self.messages = messages
        self.owner = owner
        self.try_number = try_number
        self.started_at = started_at
        self.requests_per_second = requests_per_second
        self.max_concurrency = max_concurrency
        self.give_up_after_s = give_up_after_s
        self.ends_at = ends_at
        self._beginning = Beginning(self._begin)
        self._job: CancelJob | None = None
        self._meter: Meter | None = None
        self._ending: asyncio.Task[None] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Say what it takes to make this trigger again in another process."""
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", self._parameters()

    def _parameters(self) -> dict[str, Any]:
        names = (
            "sms_conn_id",
            "id_type",
            "campaign",
            "report_path",
            "list_name",
            "messages",
            "owner",
            "try_number",
            "started_at",
            "requests_per_second",
            "max_concurrency",
            "give_up_after_s",
            "ends_at",
        )
        return {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Stop the campaign, and tell how it ended."""
        try:
            job = self._job = await self._beginning.job()
        except ValueError as error:
            self.log.error("The campaign can't be taken up: %s", error)  # noqa: TRY400 - the text says it all
            yield _event({"error": str(error)})
            return
        try:
            assert self._meter is not None  # noqa: S101 - made together with the job
            with self._meter:
                await job.run_in_loop()
        except Exception:
            self.log.exception("The run broke down.")
        yield _event(job.ending.to_json())

    async def on_kill(self) -> None:
        """Write down also what is open: somebody has ended the task (Airflow 3.3 and newer call this)."""
        # A task of its own: the triggerer cancels this, too, a second later, if it has not ended by then.
        self._ending = asyncio.create_task(self._end_for_good())
        await asyncio.shield(self._ending)

    async def _end_for_good(self) -> None:
        job = self._job or await self._beginning.job_after_all()
        if job is not None:
            await job.end_for_good()
        if self._meter is not None:
            self._meter.tell()

    # -- before the first request -------------------------------------------------------------------------------------

    def _begin(self) -> CancelJob:
        """Read everything, and open the report. In a thread: none of it must hold up the triggerer."""
        # Imported here, too: all that this package needs takes longer to import than a loop may stand still.
        from airflow_provider_smscancel._airflow import ServerStats
        from airflow_provider_smscancel.campaigns.sources import SourceUnavailable
        from airflow_provider_smscancel.common.metrics import Meter
        from airflow_provider_smscancel.triggers.taking_up import take_up

        try:
            job = take_up(log=self.log, **self._parameters())
        except SourceUnavailable as error:
            raise ValueError(str(error)) from None
        self._meter = Meter(job, conn_id=self.sms_conn_id, metrics=ServerStats)
        return job


def _event(payload: dict[str, Any]) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]
