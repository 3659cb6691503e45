"""Microsoft's emulator of Azure Blob on a free loopback port, with an account of its own."""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from azure.storage.blob import BlobServiceClient

from tests.servers.children import Child

REPOSITORY = Path(__file__).parents[2]
BINARY = REPOSITORY / ".cache/azurite/node_modules/.bin/azurite-blob"
ACCOUNT = "basculetest"
# The newest version this Azurite knows; the SDK would ask for a newer one.
API_VERSION = "2024-11-04"


class Azurite:
    """``with Azurite() as azurite``: objects in memory, or on disk below a temporary folder."""

    def __init__(self, *, on_disk: bool = False) -> None:
        if not BINARY.exists():
            raise FileNotFoundError(f"{BINARY} is missing: run scripts/setup azurite")
        self.key = base64.b64encode(os.urandom(64)).decode()
        self._folder = tempfile.TemporaryDirectory(prefix="azurite-")
        place = ["--location", self._folder.name] if on_disk else ["--inMemoryPersistence"]
        self._child = Child(
            [str(BINARY), "--blobPort", "0", "--silent", "--disableTelemetry", *place],
            r"successfully listens on http://127\.0\.0\.1:(\d+)",
            cwd=Path(self._folder.name),
            env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{self.key}"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.kill()
        self._folder.cleanup()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._child.port}/{ACCOUNT}"

    def environment(self) -> dict[str, str]:
        """The settings a store finds this server by."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": self.key,
            "AZURE_STORAGE_ENDPOINT": self.endpoint,
        }

    def client(self) -> BlobServiceClient:
        """The vendor's own client, as an independent witness."""
        return BlobServiceClient(self.endpoint, credential=self.key, api_version=API_VERSION)

    def create_container(self, name: str) -> None:
        with self.client() as client:
            client.create_container(name)

    def kill(self) -> None:
        """Take the server away at once; what it kept in memory is lost."""
        self._child.kill()
