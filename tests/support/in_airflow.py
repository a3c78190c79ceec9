"""Runs DAGs inside Airflow's own machinery, in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from support.versions import DagSerialization, before

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG


def is_mapped(task: Any) -> bool:
    """Tell whether a task of a DAG is expanded when it runs."""
    return hasattr(task, "partial_kwargs")


def register(dag: DAG) -> None:
    """Let Airflow know a DAG that is in no file, and its assets, as its DAG processor would."""
    if before("3"):
        dag.sync_to_db()
        return
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
            LazyDeserializedDAG(data=DagSerialization.to_dict(dag)), bundle_name="testing", session=session
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
    from airflow.utils.session import create_session

    register(dag)
    dag_run = dag.test(run_conf=conf)
    with create_session() as session:
        instances = dag_run.get_task_instances(session=session)
        found = {
            named(ti.task_id, ti.map_index): ti.xcom_pull(
                task_ids=ti.task_id, map_indexes=ti.map_index, key="summary", session=session
            )
            for ti in instances
        }
        return Ran(
            summaries={name: as_dict(value) for name, value in found.items() if value is not None},
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
