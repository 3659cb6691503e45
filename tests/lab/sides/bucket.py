"""A bucket that both hosts reach over a network of their own, and that can go away under a verb.

Each host has a door to it on its own loopback, behind which a relay passes connections on to an S3 server
of ours. A relay that is cut is a network that is down: connections are reset, and nobody gets another one.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, unquote

from bascule.drivers.objects.factory import open_store
from bascule.ports.objects import ObjectStore
from lab.sites.power import NAMESPACES
from lab.stage import Stand
from tests.servers.moto import Moto
from tests.servers.relay import Relay

BUCKET, PLACE = "points", "s3://points/store"
_PORT = 9000
_NEWNET = 0x40000000


class Bucket:
    """An S3 server in memory, and the way to it from each host."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._moto = self._undo.enter_context(Moto())
        self._moto.create_bucket(BUCKET)
        self._relays: list[Relay] = []

    def reached_by(self, stand: Stand, namespace: str) -> None:
        """Let the command line of a host find its store here."""
        port = int(self._moto.endpoint.rpartition(":")[2])
        relay = Relay(port, listening_in(namespace))
        self._undo.callback(relay.close)
        self._relays.append(relay)
        stand.settings |= self._moto.environment() | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{_PORT}"}
        stand.places["store"] = PLACE

    def objects(self) -> ObjectStore:
        """Open the store from outside of both hosts."""
        return open_store(PLACE, settings=self._moto.environment())

    def go_away(self) -> None:
        """Be out of reach."""
        for relay in self._relays:
            relay.cut()

    def come_back(self) -> None:
        """Be in reach again."""
        for relay in self._relays:
            relay.heal()

    @property
    def missed(self) -> int:
        """Return how often somebody came in vain since it went away."""
        return sum(relay.missed for relay in self._relays)

    def save(self, folder: Path) -> None:
        """Copy all that is in it into a folder."""
        folder.mkdir()
        client = self._moto.client()
        for name in self._names():
            data = client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
            (folder / quote(name, safe="")).write_bytes(data)

    def restore(self, folder: Path) -> None:
        """Hold what a folder keeps, and nothing else."""
        client = self._moto.client()
        for name in self._names():
            client.delete_object(Bucket=BUCKET, Key=name)
        for path in folder.iterdir():
            client.put_object(Bucket=BUCKET, Key=unquote(path.name), Body=path.read_bytes())

    def _names(self) -> list[str]:
        pages = self._moto.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def close(self) -> None:
        """End the server and the ways to it."""
        self._undo.close()


def listening_in(namespace: str) -> socket.socket:
    """Return a socket that listens in a network namespace: a socket stays where it was made."""
    found: list[socket.socket] = []

    def listen() -> None:
        place = os.open(NAMESPACES / namespace, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(place, _NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
        finally:
            os.close(place)
        found.append(socket.create_server(("127.0.0.1", _PORT)))

    thread = threading.Thread(target=listen)  # which alone is there, and ends there
    thread.start()
    thread.join()
    return found[0]
