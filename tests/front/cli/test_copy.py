from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from lab.waiting import wait_until

MIB = 1 << 20


def test_a_copy_comes_back_as_it_was(stocked) -> None:
    stocked.ok("restore", stocked.store, "web/latest", stocked.path("back.raw"))
    assert stocked.path("back.raw").read_bytes() == stocked.path("web.raw").read_bytes()


def test_a_copy_says_what_it_read_sent_and_stored(desk) -> None:
    desk.init()
    image = desk.image("web.raw", (0, os.urandom(MIB)), size=8 * MIB)
    *progress, copied = desk.ok("copy", image, desk.store, "--json").events
    assert {event["event"] for event in progress} <= {"progress"}
    assert copied["event"] == "copied"
    assert (copied["point"]["group"], copied["point"]["number"]) == ("web", 1)
    assert copied["sent_bytes"] == MIB
    assert MIB < copied["stored_bytes"] < 1.1 * MIB
    assert copied["read_bytes"] < 8 * MIB


def test_a_second_copy_sends_only_what_differs(stocked) -> None:
    with stocked.path("web.raw").open("r+b") as stream:
        stream.seek(MIB + 100)
        stream.write(b"changed")
    copied = stocked.ok("copy", stocked.path("web.raw"), stocked.store, "--json").events[-1]
    assert copied["sent_bytes"] == 64 << 10
    assert copied["compared_bytes"] > MIB
    stocked.ok("restore", stocked.store, "web/latest", stocked.path("back.raw"))
    assert stocked.path("back.raw").read_bytes() == stocked.path("web.raw").read_bytes()


def test_what_became_zero_is_zero_in_the_next_point(stocked) -> None:
    image = stocked.image("web.raw", (0, b"boot"))
    stocked.ok("copy", image, stocked.store)
    stocked.ok("restore", stocked.store, "web", stocked.path("back.raw"))
    assert stocked.path("back.raw").read_bytes() == image.read_bytes()


def test_a_list_of_changes_is_all_that_is_read(stocked) -> None:
    image = stocked.path("web.raw")
    with image.open("r+b") as stream:
        stream.seek(2 * MIB)
        stream.write(b"known")
    stocked.path("changes").write_text(f"# offset length\n{2 * MIB} 5\n\n0x10000 512 of the boot loader\n")
    done = stocked.ok("copy", image, stocked.store, "--changed", stocked.path("changes"), "--json").events[-1]
    assert done["read_bytes"] == 128 << 10
    stocked.ok("restore", stocked.store, "web", stocked.path("back.raw"))
    assert stocked.path("back.raw").read_bytes() == image.read_bytes()


@pytest.mark.parametrize("text", ["here there", "5", "0 99999999999", "-1 5"])
def test_a_list_of_changes_that_cannot_be_is_refused(stocked, text: str) -> None:
    stocked.path("changes").write_text(text)
    refused = stocked.run(
        "copy", stocked.path("web.raw"), stocked.store, "--changed", stocked.path("changes"), "--json"
    )
    assert refused.code == 2
    assert "changes" in refused.error["message"]


def test_changes_of_a_disk_that_no_point_has_are_refused(desk) -> None:
    desk.init()
    desk.path("changes").write_text("0 512")
    refused = desk.run("copy", desk.image("web.raw"), desk.store, "--changed", desk.path("changes"))
    assert refused.code == 2
    assert "copy the whole disk first" in refused.err


def test_all_sources_are_disks_of_one_machine_in_one_point(desk) -> None:
    desk.init()
    root = desk.image("root.raw", (0, b"root"))
    data = desk.image("data.raw", (MIB, b"data"), size=5 * MIB)
    words = ("--group", "shop", "--machine", "db1", "--name", "Database", "--disk", "root", "--disk", "data")
    point = desk.ok("copy", root, data, desk.store, *words, "--json").events[-1]["point"]
    (machine,) = point["machines"]
    assert (machine["id"], machine["name"]) == ("db1", "Database")
    assert [(disk["id"], disk["size_bytes"]) for disk in machine["disks"]] == [
        ("root", 3 * MIB),
        ("data", 5 * MIB),
    ]
    desk.ok("restore", desk.store, "shop", f"{desk.path('out')}/")
    assert desk.path("out/root.raw").read_bytes() == root.read_bytes()
    assert desk.path("out/data.raw").read_bytes() == data.read_bytes()


def test_disks_and_sources_must_pair(desk) -> None:
    desk.init()
    image = desk.image("a.raw")
    for words in (("--disk", "one"), ("--disk", "one", "--disk", "one")):
        assert desk.run("copy", image, image, desk.store, *words).code == 2


def test_a_point_never_leaves_a_machine_of_its_group_out(stocked) -> None:
    refused = stocked.run(
        "copy", stocked.path("web.raw"), stocked.store, "--machine", "other", "--group", "web"
    )
    assert refused.code == 2
    assert "--machine web" in refused.err


@pytest.mark.parametrize(
    ("source", "code"), [("absent.raw", 2), ("nbd+unix:///x?socket=/nowhere/socket", 3), (".", 2)]
)
def test_a_source_that_cannot_be_opened_makes_no_point(stocked, source: str, code: int) -> None:
    done = stocked.run("copy", source, stocked.store, "--group", "web")
    assert done.code == code
    assert "bascule: " in done.err
    assert len(stocked.ok("store", "ls", stocked.store, "web", "--json").document["points"]) == 1


def test_a_group_is_named_after_its_first_source(desk) -> None:
    desk.init()
    image = desk.image("My disk (1).raw")
    assert desk.ok("copy", image, desk.store, "--json").events[-1]["point"]["group"] == "My-disk-1"


@pytest.mark.parametrize("limit", ["fast", "-5", "10X"])
def test_a_rate_that_is_none_is_refused(stocked, limit: str) -> None:
    assert stocked.run("copy", stocked.path("web.raw"), stocked.store, "--limit", limit).code == 2


@pytest.mark.lab
@pytest.mark.parametrize("image_format", ["qcow2", "vhdx", "vmdk"])
def test_images_are_copied_and_restored_by_their_names(desk, image_format: str) -> None:
    desk.init()
    raw = desk.image("disk.raw", (MIB, os.urandom(MIB)), size=4 * MIB)
    image = desk.path(f"disk.{image_format}")
    subprocess.run(["qemu-img", "convert", "-O", image_format, raw, image], check=True)
    desk.ok("copy", image, desk.store)
    back = desk.path(f"back.{image_format}")
    desk.ok("restore", desk.store, "disk", back)
    compared = subprocess.run(
        ["qemu-img", "compare", "-f", "raw", "-F", image_format, raw, back], check=False
    )
    assert compared.returncode == 0


BIG = 64 * MIB


def big(desk) -> Path:
    """Make a disk that takes a while at the rates of these tests."""
    return desk.image("big.raw", (0, os.urandom(BIG)), size=BIG)


def until_something_is_durable(process: subprocess.Popen[str], store: str) -> None:
    """Wait for the first segment: 16 MiB, complete and under its name."""
    assert process.stdout is not None
    for line in process.stdout:
        assert json.loads(line)["event"] == "progress"
        if any(path.is_file() for path in (Path(store) / "segments").rglob("*")):
            return
    raise AssertionError(process.communicate())


@pytest.mark.lab
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_copy_leaves_no_point_and_goes_on_where_it_was(desk, number: signal.Signals) -> None:
    desk.init()
    image = big(desk)
    with desk.start("copy", image, desk.store, "--limit", "8M", "--workers", "1", "--json") as process:
        until_something_is_durable(process, desk.store)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    error = json.loads(err.splitlines()[-1])["error"]
    assert error["family"] == "cancelled"
    assert "not sent twice" in error["cure"]
    listed = desk.ok("store", "ls", desk.store, "--json").document["groups"]
    assert listed == [{"group": "big", "newest": None}]
    copied = desk.ok("copy", image, desk.store, "--json").events[-1]
    assert copied["resumed_bytes"] >= 15 * MIB
    assert copied["resumed_bytes"] + copied["sent_bytes"] == BIG
    desk.ok("restore", desk.store, "big", desk.path("back.raw"))
    assert desk.path("back.raw").read_bytes() == image.read_bytes()


@pytest.mark.lab
def test_a_killed_copy_goes_on_where_it_was(desk) -> None:
    desk.init()
    image = big(desk)
    with desk.start("copy", image, desk.store, "--limit", "8M", "--workers", "1", "--json") as process:
        until_something_is_durable(process, desk.store)
        process.kill()
    assert desk.ok("copy", image, desk.store, "--json").events[-1]["resumed_bytes"] >= 15 * MIB
    assert desk.ok("store", "verify", desk.store, "--full", "--json").events[-1]["findings"] == 0


@pytest.mark.lab
def test_a_copy_that_was_taken_over_says_so_and_stops(desk) -> None:
    desk.init()
    image = big(desk)
    with desk.start("copy", image, desk.store, "--limit", "16M", "--json") as process:
        until_something_is_durable(process, desk.store)
        process.send_signal(signal.SIGSTOP)
        desk.ok("copy", image, desk.store)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert json.loads(err.splitlines()[-1])["error"]["code"] == "fenced"
    points = desk.ok("store", "ls", desk.store, "big", "--json").document["points"]
    assert len(points) == 1


@pytest.mark.lab
def test_a_person_reads_how_to_go_on(desk) -> None:
    desk.init()
    with desk.start("copy", big(desk), desk.store, "--limit", "4M") as process:
        wait_for_a_writer(desk.store)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == [
        "Stopping in order; once more stops at once.",
        "bascule: stopped on request before the end",
        "  what to do: start it again when you like: what is durable already is not sent twice",
    ]


def wait_for_a_writer(store: str) -> None:
    """Wait for the fence that a copy begins with."""
    points = Path(store) / "points"
    wait_until(lambda: any(path.is_file() for path in points.rglob("*")))
