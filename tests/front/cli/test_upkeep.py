from __future__ import annotations

import os
from pathlib import Path

import pytest

MIB = 1 << 20


@pytest.fixture
def grown(stocked):
    """Three points, of which the second one's bytes are needed by nobody else."""
    for seed in (b"second", b"third"):
        stocked.ok("copy", stocked.image("web.raw", (MIB, seed + os.urandom(MIB))), stocked.store)
    return stocked


def objects(store: str, prefix: str) -> list[Path]:
    return sorted(path for path in (Path(store) / prefix).rglob("*") if path.is_file())


def test_a_sound_store_is_said_to_be_well(grown) -> None:
    verified = grown.ok("store", "verify", grown.store, "--full", "--json").events[-1]
    assert (verified["event"], verified["points"], verified["findings"]) == ("verified", 3, 0)
    assert verified["read_bytes"] == verified["live_bytes"] > 2 * MIB
    assert "all well" in grown.ok("store", "verify", grown.store).out


def test_a_flipped_byte_is_found_and_says_which_point_and_range_it_hurts(stocked) -> None:
    flip(objects(stocked.store, "segments")[0])
    done = stocked.run("store", "verify", stocked.store, "--full", "--json")
    assert done.code == 4
    hurt = [event for event in done.events if event["event"] == "finding" and event["disk"]]
    assert [(each["group"], each["point"], each["disk"]) for each in hurt] == [("web", 1, "disk0")]
    assert sum(extent["length"] for extent in hurt[0]["ranges"]) >= 65536
    assert done.error["family"] == "damaged"


def test_a_lost_object_is_found_without_reading_all(stocked) -> None:
    objects(stocked.store, "segments")[0].unlink()
    done = stocked.run("store", "verify", stocked.store)
    assert done.code == 4
    assert "web/1, disk disk0 of machine web" in done.out


def test_a_restore_from_a_damaged_store_gives_no_wrong_bytes_and_exit_code_4(stocked) -> None:
    flip(objects(stocked.store, "segments")[0])
    done = stocked.run("restore", stocked.store, "web", stocked.path("back.raw"), "--json")
    assert done.code == 4
    assert done.error["family"] == "damaged"
    assert "disk0" in done.error["message"]


def test_a_sweep_without_a_ladder_removes_no_point(grown) -> None:
    swept = grown.ok("store", "sweep", grown.store, "--json").document
    assert swept["removed_points"] == {}
    assert len(grown.ok("store", "ls", grown.store, "web", "--json").document["points"]) == 3


def test_a_sweep_with_a_ladder_thins_and_gives_the_space_back(grown) -> None:
    before = sum(path.stat().st_size for path in objects(grown.store, "segments"))
    swept = grown.ok(
        "store", "sweep", grown.store, "--keep", "5000w:5000w", "--group", "web", "--json"
    ).document
    points = grown.ok("store", "ls", grown.store, "web", "--json").document["points"]
    removed = swept["removed_points"]["web"]
    assert removed
    assert len(points) == 3 - len(removed)
    assert sum(path.stat().st_size for path in objects(grown.store, "segments")) < before
    assert grown.ok("store", "verify", grown.store, "--full", "--json").events[-1]["findings"] == 0
    grown.ok("restore", grown.store, "web", grown.path("back.raw"))
    assert grown.path("back.raw").read_bytes() == grown.path("web.raw").read_bytes()


def test_locked_points_stay(grown) -> None:
    grown.ok("store", "lock", grown.store, "web/3", "--for", "1d")
    grown.ok("store", "sweep", grown.store, "--keep", "5000w:5000w")
    numbers = [p["number"] for p in grown.ok("store", "ls", grown.store, "web", "--json").document["points"]]
    assert 3 in numbers


@pytest.mark.parametrize("options", [("--keep", "often"), ("--keep", "2h:all,1h:1h"), ("--group", "web")])
def test_a_ladder_that_cannot_be_meant_is_refused(grown, options: tuple[str, ...]) -> None:
    refused = grown.run("store", "sweep", grown.store, *options)
    assert refused.code == 2
    assert "what to do:" in refused.err


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
