"""Our client against qemu-nbd and nbdkit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from bascule.model.errors import Missing, Refused, Unavailable
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client
from bascule.wire.nbd.connecting import contexts_of, exports_of

pytestmark = pytest.mark.lab

MIB = 1024 * 1024
Spawn = Callable[..., Address]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """8 MiB: 3 MiB of data, 4 MiB of nothing, 1 MiB of data."""
    path = tmp_path / "image"
    random = Random(7)
    with path.open("wb") as file:
        file.write(random.randbytes(3 * MIB))
        file.seek(7 * MIB)
        file.write(random.randbytes(MIB))
    return path


def qemu_nbd(spawn: Spawn, image: Path, *options: str, form: str = "raw") -> Address:
    return spawn("qemu-nbd", "-t", "-e", "8", "-f", form, "-k", "{socket}", *options, str(image))


def content(client: Client) -> bytes:
    buffer = bytearray(client.size_bytes)
    client.read_into(0, memoryview(buffer))
    return bytes(buffer)


def test_a_disk_read_from_qemu_is_the_file(spawn: Spawn, image: Path) -> None:
    with Client.connect(qemu_nbd(spawn, image, "-r"), contexts=["base:allocation"]) as client:
        assert client.read_only
        assert content(client) == image.read_bytes()


def test_allocation_told_by_qemu_is_where_the_data_is(spawn: Spawn, image: Path) -> None:
    with Client.connect(qemu_nbd(spawn, image), contexts=["base:allocation"]) as client:
        assert list(client.extents("base:allocation")) == [
            (0, 3 * MIB, 0),
            (3 * MIB, 4 * MIB, 3),
            (7 * MIB, MIB, 0),
        ]


def test_what_is_written_to_qemu_is_in_the_file(spawn: Spawn, image: Path) -> None:
    expected = bytearray(image.read_bytes())
    data = Random(1).randbytes(3 * MIB + 5)
    with Client.connect(qemu_nbd(spawn, image)) as client:
        client.write(MIB - 3, memoryview(data))
        client.zero(5 * 512, 7 * 512)
        client.trim(7 * MIB, 65536)
        client.flush()
        after = content(client)
    expected[MIB - 3 : MIB - 3 + len(data)] = data
    expected[5 * 512 : 12 * 512] = bytes(7 * 512)
    assert after[: 7 * MIB] == expected[: 7 * MIB]
    assert image.read_bytes() == after


def test_an_unknown_export_is_missing(spawn: Spawn, image: Path) -> None:
    with pytest.raises(Missing, match="no export 'b'"):
        Client.connect(qemu_nbd(spawn, image, "-x", "a"), export="b")


def test_nobody_at_the_address_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Nobody answers"):
        Client.connect(Address(path=str(tmp_path / "none")))


def test_an_error_of_one_request_leaves_the_connection_whole(spawn: Spawn) -> None:
    failing = ["--filter=error", "pattern", "4M", "error-pread-rate=100%"]
    where = spawn("nbdkit", "-f", "-U", "{socket}", *failing)
    with Client.connect(where) as client:
        with pytest.raises(Unavailable, match="input/output error"):
            content(client)
        with pytest.raises(Refused, match="are not inside"):
            client.read_into(4 * MIB, memoryview(bytearray(1)))
        client.flush()


def test_a_dirty_bitmap_of_a_qcow2_names_the_changed_blocks(spawn: Spawn, tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "16M"], check=True)
    subprocess.run(["qemu-img", "bitmap", "--add", disk, "b0"], check=True)
    writes = ["-c", "write -P 1 1M 100k", "-c", "write -P 2 9M 64k"]
    subprocess.run(["qemu-io", "-f", "qcow2", *writes, disk], check=True, stdout=subprocess.DEVNULL)
    where = qemu_nbd(spawn, disk, "-B", "b0", form="qcow2")
    with Client.connect(where, contexts=["qemu:dirty-bitmap:"]) as client:
        assert client.contexts == ("qemu:dirty-bitmap:b0",)
        dirty = [(at, size) for at, size, flags in client.extents("qemu:dirty-bitmap:b0") if flags & 1]
    assert dirty == [(MIB, 128 * 1024), (9 * MIB, 64 * 1024)]


def test_a_connected_socket_will_do(spawn: Spawn, image: Path) -> None:
    where = qemu_nbd(spawn, image)
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(where.path)
    held = connected.dup()  # as a virtual machine would hold it
    with held, Client.over(connected, contexts=["base:allocation"]) as client:
        assert content(client) == image.read_bytes()
        assert client.contexts == ("base:allocation",)


def test_what_feeds_a_read_may_ask_the_same_connection(spawn: Spawn, image: Path) -> None:
    with Client.connect(qemu_nbd(spawn, image), contexts=["base:allocation"]) as client:
        wanted = (
            (at, memoryview(bytearray(min(65536, offset + length - at))))
            for offset, length, flags in client.extents("base:allocation")
            if not flags & 2
            for at in range(offset, offset + length, 65536)
        )
        found = bytearray(client.size_bytes)
        for done in client.read_many(wanted, depth=3):
            found[done.offset : done.offset + len(done.buffer)] = done.buffer
    assert found == image.read_bytes()


def test_as_many_buffers_as_requests_under_way_are_enough(spawn: Spawn, image: Path) -> None:
    free = [memoryview(bytearray(65536)) for _ in range(4)]
    found = bytearray(8 * MIB)
    with Client.connect(qemu_nbd(spawn, image)) as client:
        for done in client.read_many(((at, free.pop()) for at in range(0, 8 * MIB, 65536)), depth=4):
            found[done.offset : done.offset + 65536] = done.buffer
            free.append(done.buffer)
    assert found == image.read_bytes()


def test_a_read_of_nothing_but_zeroes_says_so(spawn: Spawn, image: Path) -> None:
    with Client.connect(qemu_nbd(spawn, image)) as client:
        wanted = [(at, memoryview(bytearray(b"x" * MIB))) for at in (0, 4 * MIB)]
        zero = {done.offset: done.zero for done in client.read_many(wanted)}
        assert zero == {0: False, 4 * MIB: True}
        assert wanted[1][1] == bytes(MIB)


def test_a_reader_that_stops_early_leaves_the_connection_in_step(spawn: Spawn, image: Path) -> None:
    with Client.connect(qemu_nbd(spawn, image)) as client:
        buffers = [(at * MIB, memoryview(bytearray(MIB))) for at in range(8)]
        for _ in client.read_many(buffers):
            break
        assert content(client) == image.read_bytes()


def test_a_refused_request_among_others_leaves_the_connection_in_step(spawn: Spawn, image: Path) -> None:
    with Client.connect(qemu_nbd(spawn, image)) as client:
        wanted = [(0, memoryview(bytearray(MIB))), (8 * MIB, memoryview(bytearray(1)))]
        with pytest.raises(Refused):
            list(client.read_many(wanted))
        assert content(client) == image.read_bytes()


@pytest.mark.parametrize(
    "kit", [["nbdkit", "-f", "-U", "{socket}"], ["nbdkit", "-f", "-U", "{socket}", "--no-sr"]]
)
def test_nbdkit_with_and_without_structure_keeps_what_it_is_given(spawn: Spawn, kit: list[str]) -> None:
    data = Random(5).randbytes(5 * MIB)
    with Client.connect(spawn(*kit, "memory", "16M"), contexts=["base:allocation"]) as client:
        assert client.contexts == (() if "--no-sr" in kit else ("base:allocation",))
        client.write(3, memoryview(data), fua=True)
        client.zero(MIB, 100, no_hole=True)
        after = content(client)
    assert after[:MIB] == bytes(3) + data[: MIB - 3]
    assert after[MIB : MIB + 100] == bytes(100)
    assert after[MIB + 100 : 5 * MIB] == data[MIB + 97 : 5 * MIB - 3]


def test_lengths_beyond_32_bits_are_asked_for_in_steps(spawn: Spawn) -> None:
    far = 1 << 37
    where = spawn("nbdkit", "-f", "-U", "{socket}", "memory", "1T")
    with Client.connect(where, contexts=["base:"]) as client:
        client.write(5 * far, memoryview(b"x" * 65536))
        client.write(7 * far - 1, memoryview(b"xx"))
        client.zero(6 * far, 9 << 30)
        client.trim(7 * far - MIB, MIB)
        held = [(at, size) for at, size, flags in client.extents("base:allocation") if not flags & 2]
    assert held == [(5 * far, 65536), (7 * far, 32768)]


def test_an_old_server_is_asked_the_old_way(spawn: Spawn) -> None:
    where = spawn("nbdkit", "-f", "-U", "{socket}", "--mask-handshake=0", "memory", "1M")
    with Client.connect(where, contexts=["base:allocation"]) as client:
        client.write(5, memoryview(b"hello"))
        assert content(client)[:12] == bytes(5) + b"hello" + bytes(2)


def test_an_oldstyle_server_is_refused(spawn: Spawn) -> None:
    with pytest.raises(Refused, match="oldstyle"):
        Client.connect(spawn("nbdkit", "-f", "-U", "{socket}", "-o", "memory", "1M"))


def test_block_sizes_of_a_server_are_kept(spawn: Spawn) -> None:
    policy = ["--filter=blocksize-policy", "memory", "16M", "blocksize-minimum=512", "blocksize-maximum=64k"]
    where = spawn(
        "nbdkit", "-f", "-U", "{socket}", *policy, "blocksize-preferred=4k", "blocksize-error-policy=error"
    )
    with Client.connect(where) as client:
        assert (client.block_sizes.minimum, client.block_sizes.maximum) == (512, 65536)
        client.write(512, memoryview(b"x" * MIB))
        assert content(client)[: MIB + 1024] == bytes(512) + b"x" * MIB + bytes(512)
        with pytest.raises(Refused, match="invalid request"):
            client.write(1, memoryview(b"x"))


def test_fast_zeroes_are_refused_where_they_are_not_fast(spawn: Spawn) -> None:
    slow = ["--filter=nozero", "memory", "1M", "zeromode=emulate", "fastzeromode=slow"]
    with Client.connect(spawn("nbdkit", "-f", "-U", "{socket}", *slow)) as client:
        with pytest.raises(Refused, match="not supported"):
            client.zero(0, 65536, fast=True)
        client.zero(0, 65536)


def test_several_connections_read_one_disk(spawn: Spawn, image: Path) -> None:
    where = qemu_nbd(spawn, image, "-r")
    found: dict[int, bytes] = {}

    def read(part: int) -> None:
        buffer = bytearray(2 * MIB)
        with Client.connect(where) as client:
            assert client.multi_conn
            client.read_into(part * 2 * MIB, memoryview(buffer))
        found[part] = bytes(buffer)

    threads = [threading.Thread(target=read, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert b"".join(found[part] for part in range(4)) == image.read_bytes()


def test_exports_and_contexts_are_listed(spawn: Spawn, image: Path) -> None:
    where = qemu_nbd(spawn, image, "-x", "disk", "-A")
    assert exports_of(where) == ["disk"]
    assert contexts_of(where, export="disk") == ["base:allocation", "qemu:allocation-depth"]
    assert contexts_of(where, export="disk", queries=["qemu:"]) == ["qemu:allocation-depth"]


def test_a_server_that_dies_is_unavailable(spawn: Spawn, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    where = spawn(
        "nbdkit", "-f", "-P", str(pid), "-U", "{socket}", "--filter=delay", "memory", "1M", "rdelay=30"
    )
    client = Client.connect(where)
    killing = threading.Timer(0.1, lambda: os.kill(int(pid.read_text()), signal.SIGKILL))
    killing.start()
    with pytest.raises(Unavailable, match="lost"):
        content(client)
    killing.join()
