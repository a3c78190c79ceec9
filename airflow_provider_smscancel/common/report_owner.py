"""Whose report it is: what Airflow's context says of a task or a run, and what follows from it for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_smscancel.campaigns.earlier_parts import Identity
from airflow_provider_smscancel.campaigns.folders import Folder
from airflow_provider_smscancel.campaigns.journal import Journal, owner_of
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.common.report_folder import default_report_path
from airflow_provider_smscancel.gateways.base import Gateway


@dataclass(frozen=True, slots=True)
class ReportOwner:
    """One task of one run, or what stands for it where there is no task.

    :param try_number: which try of it this is, from 1.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    try_number: int = 1

    @property
    def key(self) -> str:
        """What the names of its files hold."""
        return owner_of(
            dag_id=self.dag_id, task_id=self.task_id, run_id=self.run_id, map_index=self.map_index
        )

    def default_folder(self) -> str | None:
        """Build the path of its own folder under ``[smscancel] report_folder``, or give ``None`` where that is not set.

        :raises ValueError: when what is set there can not be opened; nothing was sent.
        """
        return default_report_path(self.dag_id, self.run_id, self.task_id)

    def journal(
        self, folder: Folder, campaign: Campaign, gateway: Gateway, *, read_within_s: float | None = None
    ) -> Journal:
        """Make its side of the report. Nothing is read or written yet.

        :param read_within_s: see :class:`Journal`.
        """
        return journal_in(
            folder,
            owner=self.key,
            try_number=self.try_number,
            campaign=campaign,
            gateway=gateway,
            read_within_s=read_within_s,
        )


def journal_in(
    folder: Folder,
    *,
    owner: str,
    try_number: int,
    campaign: Campaign,
    gateway: Gateway,
    read_within_s: float | None = None,
) -> Journal:
    """Make one try's side of a report. Nothing is read or written yet.

    :param owner: the key of a :class:`ReportOwner`.
    :param read_within_s: see :class:`Journal`.
    """
    return Journal(
        folder,
        owner=owner,
        try_number=try_number,
        identity=Identity(gateway.name, gateway.base_url, campaign.id_type.value),
        total=campaign.total,
        read_within_s=read_within_s,
    )


def owner_in(context: Mapping[str, Any]) -> ReportOwner:
    """Find whose report a context is about.

    :param context: a task's, a callback's of a task or of a DAG, or a deadline's, which knows no task but the run and itself.
    """
    ti = context.get("ti")
    if ti is not None:
        map_index = -1 if ti.map_index is None else ti.map_index
        return ReportOwner(ti.dag_id, ti.run_id, ti.task_id, map_index, ti.try_number)
    if "deadline" in context:
        run = context["dag_run"]
        # A run may miss several deadlines, each with a campaign of its own; one that is taken up again keeps its id.
        return ReportOwner(run["dag_id"], run["dag_run_id"], f"deadline-{context['deadline']['id']}")
    return ReportOwner(context["dag"].dag_id, context["run_id"], "callback")
