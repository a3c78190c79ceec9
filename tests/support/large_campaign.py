"""The example DAG for large campaigns in a real Airflow: a campaign under way, and what must have come of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import psutil

from support.airflow_stack import AirflowStack, Row
from support.operating import final_outcomes
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

DAG_ID = "cancel_large_campaign"
SHARDS = 4
IN_FLIGHT = 16
BUNCHED = 1.1
"""The sandbox counts when it gets to read a request. On the cores that it shares with all of Airflow that may be late, and requests
that left one after the other then arrive together. One shard more than there are would exceed the rate by a quarter."""
EXAMPLE = Path(__file__).resolve().parents[2] / "dags" / f"{DAG_ID}.py"


def example_at(rate: int, folder: Path) -> Path:
    """Write the example into a folder of DAGs, as a team does whose account allows another rate.

    :param rate: requests per second of the whole account.
    :return: the folder.
    """
    text = EXAMPLE.read_text()
    ours = text.replace("REQUESTS_PER_SECOND = 100 ", f"REQUESTS_PER_SECOND = {rate} ")
    assert ours != text
    folder.mkdir()
    (folder / EXAMPLE.name).write_text(ours)
    return folder


class Large:
    """A large campaign that is under way.

    :param folder: for the manifest, the shards and the report.
    """

    def __init__(self, airflow: AirflowStack, sandbox: SandboxProcess, folder: Path, total: int) -> None:
        self.airflow, self.sandbox, self.folder = airflow, sandbox, folder
        sandbox.reset()
        self.ids = sandbox.seed("clickatell", total)
        manifest = folder / "campaign.csv"
        manifest.write_text("\n".join(["message_id", *self.ids]) + "\n")
        conf = {"connection": "sandbox_clickatell", "manifest": str(manifest), "folder": str(folder)}
        self.run_id = airflow.trigger(DAG_ID, conf)
        self.where = f"/dags/{DAG_ID}/dagRuns/{self.run_id}/taskInstances"

    def shards(self) -> list[Row]:
        """Read the tasks of the shards, in the order of the shards."""
        found = self.airflow.call("GET", f"{self.where}/cancel/listMapped")["task_instances"]
        return sorted(found, key=lambda each: each["map_index"])

    def summary(self) -> Row:
        """Read the merged summary."""
        found = self.airflow.xcom(DAG_ID, self.run_id, "merge", "summary")
        return dict(found if isinstance(found, dict) else json.loads(found))

    def states(self) -> Counter[str]:
        """Count the messages by state, by the sandbox's own record."""
        record = self.sandbox.truth()
        return Counter(record[message_id]["state"] for message_id in self.ids)

    def wait_for_a_half(self, *, within_s: float = 60.0) -> list[Row]:
        """Wait until half of it is asked for, and return the tasks of the shards that run."""
        half = len(self.ids) // 2
        asked = self.sandbox.requests_so_far
        wait_for(lambda: asked("clickatell") >= half, "half of it is asked for", within_s=within_s)
        return [shard for shard in self.shards() if shard["state"] == "running"]

    def asked_twice(self) -> int:
        """Count the messages that were asked for more than once."""
        record = self.sandbox.truth()
        return sum(record[message_id]["stop_requests"] > 1 for message_id in self.ids)

    def check_it_is_stopped(self, *, rate: int, within_s: float = 90.0) -> Counter[int]:
        """Check that the run is green, that report, summary and the sandbox's record agree, and that the rate was kept in total.

        :return: how many shards took how many tries.
        """
        total = len(self.ids)
        assert self.airflow.wait_for_run(DAG_ID, self.run_id, within_s=within_s) == "success"
        assert self.states() == {"cancelled": total}
        summary = self.summary()
        assert (summary["shards"], summary["total"], summary["outcomes"]["cancelled"]) == (
            SHARDS,
            total,
            total,
        )
        outcomes = final_outcomes(self.folder / "report", torn=True)  # a kill may have cut a line off
        assert set(outcomes) == set(self.ids)
        assert set(outcomes.values()) == {"cancelled"}
        assert rate / SHARDS < self.sandbox.busiest_second("clickatell") <= rate * BUNCHED
        return Counter(shard["try_number"] for shard in self.shards())


def kill_task(shard: Row) -> None:
    """Kill the process of a shard's task."""
    psutil.Process(int(shard["pid"])).kill()
