"""A full copy into Azurite, beside putting as many bare objects of the same size there.

And beside the native calls alone with the same uploads: their floor on cores that the endpoint shares.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from azure.storage.blob import BlobServiceClient

from benchmarks.report import OURS, Figure, Report

from .. import images, tools
from ..bench import Bench, alternate
from ..ours import Store
from ..process import listens_tcp, output, run, serving

FIGURE: Final = Figure("upload", "MiB/s", more_is_better=True)
_CONTAINER: Final = "bench"
_ACCOUNT: Final = "bench"
_KEY: Final = "YmVuY2htYXJr"  # Known to nobody but this emulator.
# The newest version this emulator knows; the client would ask for a newer one.
_VERSION: Final = "2024-11-04"
_THREADS: Final = 4


def measure(bench: Bench) -> None:
    """Print ``upload``: the stored bytes of a copy by its whole time, against the rate of bare puts."""
    image, report = bench.mixed(), Report(FIGURE)
    with bench.room("azurite") as room:
        port = tools.free_port()
        settings = {
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{_ACCOUNT}",
        }
        images.warm(image.before)
        place: list[str | Path] = ["--location", room, "--blobPort", str(port)]
        with serving(
            [tools.azurite(), "--silent", "--disableTelemetry", *place],
            listens_tcp(port),
            env={"AZURITE_ACCOUNTS": f"{_ACCOUNT}:{_KEY}"},
        ):
            with _client(settings) as client:
                client.create_container(_CONTAINER)
            turn = _Turn(image.before, room, settings, report)
            alternate(bench.rounds, [turn.ours, turn.natives, turn.raw])
    bench.emit(report)


class _Turn:
    """Copies into a fresh prefix each round; the raw puts move as many bytes as the copy stored."""

    def __init__(self, source: Path, room: Path, settings: dict[str, str], report: Report) -> None:
        self._source, self._room = source, room
        self._settings, self._report = settings, report
        self._count = 0
        self._stored = 0

    def ours(self) -> None:
        self._count += 1
        room = self._room / f"key-{self._count}"
        room.mkdir()
        place = f"az://{_CONTAINER}/{self._count}"
        store = Store(room, place, self._settings)
        store.init()
        cost = store.copy(self._source)
        self._stored = self._stored_bytes(f"{self._count}/")
        self._report.add(OURS, self._stored / images.MIB / cost.wall_s, cost.cpu_s)

    def natives(self) -> None:
        self._count += 1
        program, place = "benchmarks.data.programs.natives", f"az://{_CONTAINER}/{self._count}"
        cost = run([sys.executable, "-m", program, self._source, place], env=self._settings)
        stored = self._stored_bytes(f"{self._count}/")
        self._report.add("natives", stored / images.MIB / cost.wall_s, cost.cpu_s)

    def raw(self) -> None:
        count = max(1, self._stored // (16 * images.MIB))
        words = ["-m", "benchmarks.data.programs.raw_put", _CONTAINER, str(count), str(_THREADS)]
        self._report.add("raw-put", float(output([sys.executable, *words], env=self._settings)))

    def _stored_bytes(self, prefix: str) -> int:
        with _client(self._settings) as client:
            blobs = client.get_container_client(_CONTAINER).list_blobs(name_starts_with=prefix)
            return sum(blob.size for blob in blobs)


def _client(settings: dict[str, str]) -> BlobServiceClient:
    return BlobServiceClient(settings["AZURE_STORAGE_ENDPOINT"], credential=_KEY, api_version=_VERSION)
