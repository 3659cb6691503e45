from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

MIB = 1 << 20


def test_a_restored_file_is_sparse(stocked) -> None:
    back = stocked.path("back.raw")
    restored = stocked.ok("restore", stocked.store, "web", back, "--json").events[-1]
    assert restored["event"] == "restored"
    assert restored["disks"][0]["written_bytes"] == MIB + (64 << 10)
    assert back.stat().st_blocks * 512 < 2 * MIB
    assert back.stat().st_size == 3 * MIB


def test_an_older_point_is_restored_by_its_number(stocked) -> None:
    first = stocked.path("web.raw").read_bytes()
    stocked.ok("copy", stocked.image("web.raw", (0, b"new")), stocked.store)
    stocked.ok("restore", stocked.store, "web/1", stocked.path("back.raw"))
    assert stocked.path("back.raw").read_bytes() == first


def test_nothing_is_overwritten_without_force(stocked) -> None:
    precious = stocked.image("precious.raw", (0, b"precious"), size=MIB)
    before = precious.read_bytes()
    refused = stocked.run("restore", stocked.store, "web", precious)
    assert refused.code == 2
    assert "--force" in refused.err
    assert precious.read_bytes() == before
    assert not stocked.path("precious.raw.restoring").exists()
    stocked.ok("restore", stocked.store, "web", precious, "--force")
    assert precious.read_bytes() == stocked.path("web.raw").read_bytes()


def test_a_finished_restore_leaves_only_the_target(stocked) -> None:
    stocked.ok("restore", stocked.store, "web", f"{stocked.path('out')}/")
    assert [path.name for path in stocked.path("out").iterdir()] == ["disk0.raw"]


@pytest.mark.parametrize(
    "words",
    [
        ("a.raw", "b.raw"),
        ("a.raw", "--disk", "disk7"),
        ("a.raw", "--machine", "other"),
        ("a.raw", "--format", "floppy"),
        ("no/such/folder/a.raw",),
    ],
)
def test_a_target_that_cannot_be_is_refused_and_leaves_nothing(stocked, words) -> None:
    target, *options = words
    refused = stocked.run("restore", stocked.store, "web", stocked.path(target), *options)
    assert refused.code == 2
    assert "what to do:" in refused.err
    assert not list(stocked.folder.glob("a.raw*"))


def test_one_disk_of_several_can_be_chosen(desk) -> None:
    desk.init()
    images = [desk.image(f"{name}.raw", (0, name.encode())) for name in ("root", "data")]
    desk.ok("copy", *images, desk.store, "--group", "shop")
    refused = desk.run("restore", desk.store, "shop", desk.path("one.raw"))
    assert refused.code == 2
    assert "shop/disk0, shop/disk1" in refused.err
    desk.ok("restore", desk.store, "shop", desk.path("one.raw"), "--disk", "disk1")
    assert desk.path("one.raw").read_bytes() == images[1].read_bytes()


def interrupted(desk, count: int) -> Path:
    """Stop a restore once it has done so much, and return its target."""
    target = desk.path("back.raw")
    words = ("restore", desk.store, "big", target, "--limit", "8M", "--workers", "1", "--json")
    with desk.start(*words) as process:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "progress" and event["done_bytes"] >= count:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    return target


@pytest.fixture
def big(desk):
    desk.init()
    desk.ok("copy", desk.image("big.raw", (0, os.urandom(48 * MIB)), size=64 * MIB), desk.store)
    return desk


@pytest.mark.lab
def test_a_stopped_restore_goes_on_where_it_was(big) -> None:
    target = interrupted(big, 12 * MIB)
    assert big.path("back.raw.restoring").exists()
    restored = big.ok("restore", big.store, "big", target, "--json").events[-1]
    (disk,) = restored["disks"]
    assert disk["resumed_bytes"] >= 8 * MIB
    assert disk["resumed_bytes"] + disk["written_bytes"] == 48 * MIB
    assert target.read_bytes() == big.path("big.raw").read_bytes()
    assert not big.path("back.raw.restoring").exists()


@pytest.mark.lab
def test_another_point_is_not_poured_into_a_half_restored_target(big) -> None:
    target = interrupted(big, 12 * MIB)
    big.ok("copy", big.image("big.raw", (0, b"new"), size=64 * MIB), big.store)
    refused = big.run("restore", big.store, "big", target, "--json")
    assert refused.code == 2
    assert "half restored" in refused.error["message"]
    assert big.path("back.raw.restoring").exists()
    big.ok("restore", big.store, "big", target, "--force")
    assert target.read_bytes() == big.path("big.raw").read_bytes()


@pytest.mark.lab
def test_a_target_that_went_away_is_made_anew(big) -> None:
    target = interrupted(big, 12 * MIB)
    target.unlink()
    restored = big.ok("restore", big.store, "big", target, "--json").events[-1]
    assert restored["disks"][0]["resumed_bytes"] == 0
    assert target.read_bytes() == big.path("big.raw").read_bytes()


def test_a_store_that_one_may_only_read_is_read_without_a_pin(stocked) -> None:
    before = sorted(path for path in Path(stocked.store).rglob("*") if "pins" in path.parts)
    stocked.ok("restore", stocked.store, "web", stocked.path("back.raw"), "--no-pin")
    assert stocked.path("back.raw").read_bytes() == stocked.path("web.raw").read_bytes()
    assert sorted(path for path in Path(stocked.store).rglob("*") if "pins" in path.parts) == before
