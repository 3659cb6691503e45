"""moto's S3 server on a free loopback port, in a process of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import boto3
from botocore.client import BaseClient

from tests.servers.children import Child

_SERVER = """
import signal
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("listening on", server.get_host_and_port()[1], flush=True)
signal.pause()
"""
KEY_ID, SECRET, REGION = "test-key-id", "test-secret", "eu-west-3"


class Moto:
    """``with Moto() as moto``: buckets in memory."""

    def __init__(self) -> None:
        self._child = Child(
            [sys.executable, "-c", _SERVER],
            r"listening on (\d+)",
            cwd=Path(tempfile.gettempdir()),
            env=os.environ,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._child.port}"

    def environment(self) -> dict[str, str]:
        """The settings a store finds this server by."""
        return {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def client(self) -> BaseClient:
        """The vendor's own client, as an independent witness."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            region_name=REGION,
        )

    def create_bucket(self, name: str) -> None:
        self.client().create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    def kill(self) -> None:
        """Take the server away at once, with all it kept."""
        self._child.kill()
