"""A real S3 server on loopback, one for all tests, and connections to it as Airflow knows them."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import requests
from packaging.version import Version

BUCKET = "campaigns"
REGION = "us-east-1"
_numbers = itertools.count(1)

# It takes a client that has made no request yet for one that was closed, and makes another without the credentials.
FORGETFUL = Version(version("s3fs")) < Version("2026.9") and Version(version("aiobotocore")) >= Version("3")


class ObjectStore:
    """moto's S3 server, with a bucket, a key for Airflow and one for the test itself.

    :param url: of a server that runs.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        first = self._client("iam", "anybody", "anything")
        tester, airflow = _new_key(first, "tester"), _new_key(first, "airflow")
        first.close()
        self.key_id, self.secret = airflow
        self._iam = self._client("iam", *tester)
        self._s3 = self._client("s3", *tester)
        _allow(self._iam, "tester", "*")
        self.grant()
        self._s3.create_bucket(Bucket=BUCKET)

    def _client(self, service: str, key_id: str, secret: str) -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
        )

    def close(self) -> None:
        self._session.close()
        self._s3.close()
        self._iam.close()

    def check_keys(self) -> None:
        """Let the server refuse whoever has no good key; until then it lets anybody in."""
        assert self._session.post(f"{self.url}/moto-api/reset-auth", data=b"0", timeout=10).ok

    def revoke(self) -> None:
        """Let the key of Airflow's be refused from now on."""
        self._iam.delete_user_policy(UserName="airflow", PolicyName="all")

    def grant(self) -> None:
        """Let it be good again."""
        _allow(self._iam, "airflow", "s3:*")

    def connection(self, **fields: Any) -> str:
        """A connection to the server, in the form that an environment variable has."""
        return json.dumps(
            {
                "conn_type": "aws",
                "login": self.key_id,
                "password": self.secret,
                "extra": {"endpoint_url": self.url, "region_name": REGION},
                **fields,
            }
        )

    def connection_by_amazons_names(self) -> str:
        """A connection that takes it for Amazon's own: it is asked for under Amazon's names, as a proxy that leads there."""
        extra = {
            "endpoint_url": f"http://s3.{REGION}.amazonaws.com",
            "region_name": REGION,
            "config_kwargs": {"region_name": REGION, "proxies": {"http": self.url}},
        }
        return self.connection(extra=extra)

    def connect(self, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> str:
        """Set a connection, and return its id: always a new one, as Airflow keeps what it has opened for one."""
        conn_id = f"store_{next(_numbers)}"
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", self.connection(**fields))
        return conn_id

    def put(self, key: str, content: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        return bytes(self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def delete(self, key: str) -> None:
        self._s3.delete_object(Bucket=BUCKET, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        return [
            row["Key"] for row in self._s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        ]

    def buckets(self) -> list[str]:
        return [row["Name"] for row in self._s3.list_buckets()["Buckets"]]

    def report(self, prefix: str) -> list[dict[str, Any]]:
        """Read every line of every part of a report, in the order of (try, finished_at)."""
        parts = [key for key in self.keys(prefix) if "/part-" in f"/{key}"]
        rows = [json.loads(line) for part in parts for line in self.get(part).splitlines()]
        return sorted(rows, key=lambda row: (row["try"], row["finished_at"]))


def _new_key(iam: Any, user: str) -> tuple[str, str]:
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def _allow(iam: Any, user: str, action: str) -> None:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=policy)


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Run a server, and give its URL. All servers of a process hold the same buckets and keys."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture(scope="session")
def server_of_stores() -> Iterator[ObjectStore]:
    with s3_server() as url, contextlib.closing(ObjectStore(url)) as store:
        yield store


@pytest.fixture
def store(server_of_stores: ObjectStore) -> ObjectStore:
    """A server that checks keys, and lets the good one in."""
    if FORGETFUL:
        pytest.skip(
            "s3fs before 2026.9 forgets a connection's credentials with aiobotocore 3; delete when no release of Airflow "
            "that is tried has these"
        )
    server_of_stores.check_keys()
    server_of_stores.grant()
    return server_of_stores
