"""A provider as a process of its own, and a real guest that writes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import stamps
from lab.waiting import wait_until

from .test_replicator import BLOCKS, COMMAND, NAMES, Site

pytestmark = pytest.mark.lab


class Hosted(Site):
    """A site whose machine a provider replicates."""

    process: subprocess.Popen[bytes] | None = None

    def call(self, *words: str | Path) -> Any:
        settings = os.environ | {
            "BASCULE_KEY_FILE": str(self.room / "main.key"),
            "BASCULE_PROVIDER": str(self.room / "provider"),
        }
        done = subprocess.run([*COMMAND, *words, "--json"], env=settings, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self) -> None:
        words = [*COMMAND, "provider", "run", self.room / "provider"]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def item(self) -> dict[str, Any]:
        (found,) = self.call("status", NAMES.group)["groups"]
        return dict(found)

    def wait_for_points(self, count: int) -> None:
        before = self.item()["cycles"]
        wait_until(lambda: self.item()["cycles"] >= before + count, 120)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Hosted]:
    made = Hosted(tmp_path, 1)
    yield made
    made.stop()
    made.guest.kill()


def test_a_guest_is_replicated_through_the_death_of_everything(site: Hosted) -> None:
    """The provider's, the machine's: points are exact, and neither costs a full copy (R-R-10)."""
    words = [site.room / "qmp", site.room / "store", "--group", "web", "--every", "1s"]
    site.call("protect", *words, "--resync-hours", "any")
    site.start()
    site.wait_for_points(3)
    assert site.item()["health"] == "healthy"
    first = site.judge()

    site.stop()
    site.start()
    site.wait_for_points(2)
    assert site.judge() > first
    assert site.item()["marked_for_resync"] is None

    site.guest.kill()
    wait_until(lambda: site.item()["state"] == "machine is off", 60)
    site.guest = site.boot()
    site.wait_for_points(2)
    found = site.item()
    assert (found["state"], found["error"]) == ("replicating", None)
    assert found["sent_bytes"] <= found["cycles"] * BLOCKS * stamps.BLOCK * 1.05, "what is stamped, each time"

    site.call("unprotect", "web")
    wait_until(lambda: not (site.room / "provider" / "machines" / "web").exists(), 60)
    monitor = site.look()
    try:
        nodes = monitor.execute("query-named-block-nodes")
    finally:
        monitor.close()
    assert [node["dirty-bitmaps"] for node in nodes if node.get("dirty-bitmaps")] == []
