"""Runs DAGs inside Airflow's own machinery, in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import DAG


def register(dag: DAG) -> None:
    """Let Airflow know a DAG that is in no file, and its assets, as its DAG processor would."""
    from airflow.models.asset import AssetActive, AssetModel
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        session.merge(DagBundleModel(name="testing"))
        session.flush()
        session.merge(DagModel(dag_id=dag.dag_id, bundle_name="testing", fileloc=__file__))
        session.flush()
        for task in dag.tasks:
            for asset in task.outlets:
                session.add(AssetModel(name=asset.name, uri=asset.uri, group="asset", extra={}))
                session.flush()
                session.add(AssetActive.for_asset(asset))
        SerializedDagModel.write_dag(
            LazyDeserializedDAG.from_dag(dag), bundle_name="testing", session=session
        )


@dataclass(frozen=True)
class Ran:
    """What came of a run. Tasks are named by their id, mapped ones as ``task[0]``."""

    summaries: dict[str, Any]
    """The XCom ``summary`` of those that have pushed one."""
    states: dict[str, str]
    shown_as: dict[str, str]
    """What Airflow shows in place of the numbers of mapped tasks."""


def run(dag: DAG, conf: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """Run a DAG once, and return the XCom ``summary`` by task, and the state by task."""
    ran = ran_as(dag, conf)
    return ran.summaries, ran.states


def ran_as(dag: DAG, conf: dict[str, Any] | None = None) -> Ran:
    """Run a DAG once."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    register(dag)
    dag_run = dag.test(run_conf=conf)
    with create_session() as session:
        found = session.scalars(
            select(XComModel).where(
                XComModel.dag_id == dag.dag_id, XComModel.run_id == dag_run.run_id, XComModel.key == "summary"
            )
        )
        instances = dag_run.get_task_instances(session=session)
        return Ran(
            summaries={named(row.task_id, row.map_index): as_dict(row.value) for row in found},
            states={named(ti.task_id, ti.map_index): str(ti.state) for ti in instances},
            shown_as={
                named(ti.task_id, ti.map_index): ti.rendered_map_index
                for ti in instances
                if ti.rendered_map_index
            },
        )


def as_dict(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def named(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"
