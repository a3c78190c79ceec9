"""A campaign whose list and report are in an object store, in a real Airflow's triggerer, which is killed in the middle."""

from __future__ import annotations

import signal
from collections import Counter

import pytest
from support.airflow_stack import AirflowStack
from support.interrupted import A_SECONDS_WORTH, IN_FLIGHT, TOTAL
from support.object_store import BUCKET, ObjectStore
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

pytestmark = pytest.mark.system


def test_a_campaign_in_an_object_store_survives_a_killed_triggerer(
    airflow: AirflowStack, sandbox: SandboxProcess, store: ObjectStore
) -> None:
    ids = sandbox.seed("clickatell", TOTAL)
    store.put("spring/campaign.csv", "\n".join(["message_id", *ids]).encode())
    folder = f"s3://object_store@{BUCKET}/spring"
    run_id = airflow.trigger("deferred", {"manifest": f"{folder}/campaign.csv", "report": f"{folder}/report"})

    def stopped() -> int:
        record = sandbox.truth()
        return sum(record[message_id]["state"] == "cancelled" for message_id in ids)

    wait_for(lambda: stopped() >= TOTAL // 3, "a third of the campaign is stopped", within_s=60)
    assert airflow.task("deferred", run_id, "cancel")["state"] == "deferred"
    airflow.kill("triggerer", signal.SIGKILL)
    assert stopped() < TOTAL
    airflow.start("triggerer")

    assert airflow.wait_for_run("deferred", run_id, within_s=90) == "success"
    assert stopped() == TOTAL
    summary = airflow.xcom("deferred", run_id, "cancel", "summary")
    assert summary["report"] == f"{folder}/report"
    assert summary["total"] == summary["outcomes"]["cancelled"] == TOTAL
    rows = store.report("spring/report/")
    assert Counter(row["message_id"] for row in rows) == Counter(ids)
    record = sandbox.truth()
    assert sum(record[each]["stop_requests"] > 1 for each in ids) <= A_SECONDS_WORTH + IN_FLIGHT
    log = airflow.log("deferred", run_id, "cancel", 1)
    assert store.secret not in log
    assert store.key_id not in log
