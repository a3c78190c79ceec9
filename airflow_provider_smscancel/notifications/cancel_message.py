"""The notifier that stops a campaign when something else has failed."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from airflow_provider_smscancel._airflow import BaseNotifier
from airflow_provider_smscancel.triggers.beginning import Beginning

if TYPE_CHECKING:
    from airflow_provider_smscancel._airflow import Context
    from airflow_provider_smscancel.campaigns.cancel_job import CancelJob


class CancelMessageNotifier(BaseNotifier):
    """Stops a campaign from a callback: ``on_failure_callback`` of a task or a DAG, or a deadline alert.

    This is the second line. The first is a task with :class:`~..operators.cancel_message.CancelMessageOperator`, which Airflow
    retries and which takes the time that it needs: Airflow kills the callback of a task after about 20 s, that of a DAG after
    about 50 s, and never repeats it.

    The last line that it logs says what became of the campaign: at level INFO when every message is stopped or will not go out
    for another reason, else at level ERROR, with how many were not asked. What is not stopped raises nothing: a callback's
    exception would only be logged. To finish what there was no time for, run ``CancelMessageOperator`` over the same ids.

    Parameters are those of the operator where they have the same name. Those that the operator has templated are templated here
    as well; a deadline's context has ``dag_run`` (a mapping), ``deadline`` and ``run_id`` only.

    :param sms_conn_id: the connection; its type picks the gateway. (templated)
    :param message_ids: the messages: a list of ids or of mappings, or text with ids. (templated)
    :param manifest: instead, an absolute path or object storage URL of a file. (templated)
    :param sql: instead, a query (or the name of a ``.sql`` file). (templated)
    :param sql_conn_id: the connection of the database that ``sql`` is run on. (templated)
    :param parameters: of the query. (templated)
    :param id_type: ``message_id``, or ``client_message_id`` where the gateway cancels by the id that the sender chose. (templated)
    :param campaign: a name for logs and the summary. (templated)
    :param report_path: folder (absolute path or URL) where the outcome of each message is written. Needed for more than 100
        messages, unless ``[smscancel] report_folder`` is set. (templated)
    :param max_messages: refuse to start when there are more. (templated)
    :param requests_per_second: overrides the connection's.
    :param max_concurrency: overrides the connection's.
    :param deadline_s: seconds from the start of the callback after which no message is asked for any more; what is in flight then
        gets 2 s, and writing it down another 4 at most. ``None``: no limit, for a deadline alert with an ``AsyncCallback``, which
        nothing kills.

    :raises AirflowFailException: a parameter, the list or the connection is wrong; nothing was sent. Airflow logs it.
    :raises AirflowException: the list can't be read now; nothing was sent. Airflow logs it.
    """

    template_fields: Sequence[str] = (
        "sms_conn_id",
        "message_ids",
        "manifest",
        "sql",
        "sql_conn_id",
        "parameters",
        "id_type",
        "campaign",
        "report_path",
        "max_messages",
    )
    template_ext: Sequence[str] = (".sql",)

    def __init__(
        self,
        *,
        sms_conn_id: str,
        message_ids: Any = None,
        manifest: str | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        id_type: str = "message_id",
        campaign: str | None = None,
        report_path: str | None = None,
        max_messages: int | str | None = None,
        requests_per_second: float | None = None,
        max_concurrency: int | None = None,
        deadline_s: float | None = 15.0,
        **kwargs: Any,
    ) -> None:
        # Before the fields are set: it would look for the files that they name without knowing the DAG's folder.
        super().__init__(**kwargs)
        self.sms_conn_id = sms_conn_id
        self.message_ids = message_ids
        self.manifest = manifest
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.id_type = id_type
        self.campaign = campaign
        self.report_path = report_path
        self.max_messages = max_messages
        self.requests_per_second = requests_per_second
        self.max_concurrency = max_concurrency
        self.deadline_s = deadline_s

    def notify(self, context: Context) -> None:
        """Stop the campaign, and wait for it."""
        job = self._begin(context, may_be_taken_up=False)
        try:
            job.run()
        except Exception:
            self.log.exception("The run broke down.")
        finally:  # also when the callback is told to end
            self._tell(job)

    async def async_notify(self, context: Context) -> None:
        """Stop the campaign in the loop that is running, which is never held up.

        Cancelled, as by a triggerer that ends, it makes no new request, and the triggerer that takes the callback up goes on from
        the report.
        """
        job = await Beginning(lambda: self._begin(context, may_be_taken_up=True)).job()
        try:
            await job.run_in_loop()
        except Exception:
            self.log.exception("The run broke down.")
        self._tell(job)

    def __await__(self) -> Generator[Any, None, None]:
        """Render what is templated, in a thread, and notify."""
        return self._render_and_notify().__await__()

    async def _render_and_notify(self) -> None:
        await sync_to_async(self._render_fields, thread_sensitive=False)()
        await self.async_notify(self.context)

    def _render_fields(self) -> None:
        self._update_context(self.context)
        self.render_template_fields(self.context)

    def _update_context(self, context: Context) -> Context:
        """Add the run's id where Airflow does not: one ``report_path`` then does for every kind of callback."""
        run = context.get("dag_run")
        if "run_id" not in context and isinstance(run, Mapping):
            context["run_id"] = run["dag_run_id"]
        updated: Context = super()._update_context(context)
        return updated

    def _begin(self, context: Context, *, may_be_taken_up: bool) -> CancelJob:
        # Imported here: the triggerer imports this module in its loop, and all that it takes to stop a campaign takes a while.
        from airflow_provider_smscancel.notifications.starting import start

        return start(self, context, may_be_taken_up=may_be_taken_up)

    def _tell(self, job: CancelJob) -> None:
        from airflow_provider_smscancel.notifications.telling import tell

        tell(self.log, job, sms_conn_id=self.sms_conn_id)
