"""Our server, asked by nbdinfo, nbdcopy, qemu-io, qemu-img and our own client."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import subprocess
import threading
from pathlib import Path
from random import Random

import pytest

from bascule.model.errors import BasculeError, Damaged, Refused, Unavailable
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client
from bascule.wire.nbd.connecting import Access
from bascule.wire.nbd.memory import MemoryExport
from bascule.wire.nbd.server import Ended, Server
from bascule.wire.nbd.session import Limits
from lab.waiting import wait_until

MIB = 1024 * 1024


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def qemu_io(address: Address, *commands: str) -> str:
    words = [word for command in commands for word in ("-c", command)]
    return run("qemu-io", "-f", "raw", *words, str(address))


def read(client: Client, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    client.read_into(offset, memoryview(buffer))
    return bytes(buffer)


@pytest.mark.lab
def test_nbdinfo_finds_everything_an_export_offers(server: Server) -> None:
    (about,) = json.loads(run("nbdinfo", "--json", str(server.address)))["exports"]
    assert about["export-size"] == 16 * MIB
    assert about["contexts"] == ["base:allocation"]
    assert about["block_size_maximum"] == 32 * MIB
    assert all(about[f"can_{what}"] for what in ("multi_conn", "df", "zero", "cache", "trim", "flush", "fua"))


@pytest.mark.lab
def test_nbdinfo_lists_all_exports_and_says_goodbye(server: Server, ended: list[Ended]) -> None:
    listed = json.loads(run("nbdinfo", "--json", "--list", str(server.address)))["exports"]
    assert [export["export-name"] for export in listed] == ["", "other", "fixed"]
    server.stop()
    assert {end.error for end in ended} == {""}


@pytest.mark.lab
def test_nbdinfo_draws_the_same_map_as_the_disk(server: Server, disk: MemoryExport) -> None:
    disk.write(MIB, memoryview(b"x" * MIB))
    drawn = json.loads(run("nbdinfo", "--json", "--map", str(server.address)))
    assert [(piece["offset"], piece["length"], piece["type"]) for piece in drawn] == [
        (0, MIB, 3),
        (MIB, MIB, 0),
        (2 * MIB, 14 * MIB, 3),
    ]


@pytest.mark.lab
def test_nbdcopy_reads_back_what_it_wrote(server: Server, disk: MemoryExport, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(Random(3).randbytes(5 * MIB) + bytes(11 * MIB))
    run("nbdcopy", source, str(server.address))
    run("nbdcopy", str(server.address), back)
    assert back.read_bytes() == source.read_bytes()
    assert list(disk.extents("base:allocation", 0, 16 * MIB)) == [(5 * MIB, 0), (11 * MIB, 3)]


@pytest.mark.lab
def test_qemu_img_converts_to_and_from_and_finds_no_difference(server: Server, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy.qcow2"
    source.write_bytes(bytes(2 * MIB) + Random(4).randbytes(3 * MIB) + bytes(11 * MIB))
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, str(server.address))
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(server.address), copy)
    assert "identical" in run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", copy, source)


@pytest.mark.lab
def test_qemu_io_reads_back_what_it_wrote_zeroed_and_discarded(server: Server, disk: MemoryExport) -> None:
    qemu_io(server.address, "write -P 7 1000 2M", "read -P 7 1000 2M", "write -z 4k 64k", "read -P 0 4k 64k")
    qemu_io(server.address, "write -P 9 0 10M", "read -P 9 0 10M", "discard 1M 1M", "flush")
    qemu_io(server.address, "write -f -P 5 3M 4k", "write -z -u 4M 1M", "read -P 5 3M 4k", "read -P 0 4M 1M")
    states = list(disk.extents("base:allocation", 0, 16 * MIB))
    assert states == [(MIB, 0), (MIB, 3), (2 * MIB, 0), (MIB, 3), (5 * MIB, 0), (6 * MIB, 3)]


def test_a_read_only_export_takes_no_writes(server: Server) -> None:
    with Client.connect(server.address, export="fixed") as client:
        assert client.read_only
        with pytest.raises(Refused, match="read-only"):
            client.write(0, memoryview(b"x"))


def test_several_exports_are_different_disks(server: Server) -> None:
    with Client.connect(server.address) as one, Client.connect(server.address, export="other") as two:
        one.write(0, memoryview(b"one"))
        assert (one.size_bytes, two.size_bytes) == (16 * MIB, MIB)
        assert (read(one, 0, 3), read(two, 0, 3)) == (b"one", b"\0\0\0")


def test_two_clients_see_each_others_writes(server: Server) -> None:
    with Client.connect(server.address) as one, Client.connect(server.address) as two:
        one.write(5, memoryview(b"hello"))
        assert read(two, 4, 7) == b"\0hello\0"


@pytest.mark.lab
def test_tcp_serves_the_same_as_a_unix_socket(disk: MemoryExport) -> None:
    with Server({"": disk}, Address("127.0.0.1", 0)) as server:
        qemu_io(server.address, "write -P 7 0 5M", "read -P 7 0 5M")
        with Client.connect(str(server.address)) as client:
            assert read(client, 5 * MIB - 2, 4) == b"\7\7\0\0"


@pytest.mark.parametrize("cold", [False, True], ids=["at hand", "not at hand"])
@pytest.mark.parametrize(
    ("fault", "family", "words"),
    [
        (Unavailable("the store is away"), Unavailable, "input/output error .the store is away"),
        (Damaged("the frame is torn"), Unavailable, "the frame is torn"),
        (Refused("not you"), Refused, "not permitted"),
        (OSError(errno.EIO, "broken"), Unavailable, "input/output error"),
        (OSError(errno.ENOMEM, "small"), Unavailable, "out of memory"),
    ],
)
def test_an_exports_error_ends_one_request(
    server: Server, disk, cold: bool, fault: Exception, family: type[BasculeError], words: str
) -> None:
    disk.cold = {0} if cold else set()
    with Client.connect(server.address) as client:
        disk.fault = fault
        with pytest.raises(family, match=words):
            read(client, 0, 4096)
        disk.fault = None
        assert read(client, 0, 4096) == bytes(4096)


def test_every_command_reports_its_error(server: Server, disk) -> None:
    with Client.connect(server.address, contexts=["base:allocation"]) as client:
        disk.fault = OSError(errno.ENOSPC, "full")
        for attempt in (
            lambda: client.write(0, memoryview(b"x")),
            lambda: client.write(0, memoryview(bytes(3 * MIB)), fua=True),
            lambda: client.zero(0, 1),
            lambda: client.trim(0, 1),
            client.flush,
            lambda: client.cache(0, 1),
            lambda: list(client.extents("base:allocation")),
        ):
            with pytest.raises(Unavailable, match="no space left"):
                attempt()
        disk.fault = None
        client.write(0, memoryview(b"x"))


def test_writing_through_flushes_before_the_reply(server: Server, disk) -> None:
    with Client.connect(server.address) as client:
        client.write(0, memoryview(b"x"))
        assert disk.flushes == 0
        client.write(0, memoryview(b"x"), fua=True)
        client.zero(0, 1, fua=True)
        client.trim(0, 1, fua=True)
        assert disk.flushes == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("cold", [False, True], ids=["at hand", "not at hand"])
def test_an_unforeseen_error_ends_one_connection_and_nothing_else(server: Server, disk, cold: bool) -> None:
    disk.cold = {0} if cold else set()
    with (
        Client.connect(server.address) as victim,
        Client.connect(server.address, export="other") as bystander,
    ):
        disk.fault = ZeroDivisionError()
        with pytest.raises(Unavailable, match="lost"):
            read(victim, 0, 4096)
        disk.fault = None
        assert read(bystander, 0, 1) == b"\0"
        with Client.connect(server.address) as client:
            assert read(client, 0, 1) == b"\0"


def test_what_waits_does_not_hold_up_what_is_at_hand(server: Server, disk) -> None:
    disk.cold = {0, MIB}
    disk.gate.clear()
    with Client.connect(server.address) as client:
        buffers = {at: memoryview(bytearray(4096)) for at in (0, MIB, 2 * MIB, 3 * MIB)}
        order = []
        for done in client.read_many(buffers.items(), depth=4):
            order.append(done.offset)
            if len(order) == 2:
                disk.gate.set()
        assert set(order[:2]) == {2 * MIB, 3 * MIB}
        assert set(order[2:]) == {0, MIB}


def test_what_can_be_had_soon_waits_for_no_thread(server: Server, disk) -> None:
    disk.write(0, memoryview(b"s" * 4096))
    disk.soon, disk.cold = {0}, {MIB}
    before = threading.active_count()
    with Client.connect(server.address) as client:
        assert read(client, 0, 4096) == b"s" * 4096
        assert threading.active_count() == before + 1, "the connection has its own thread, and no crew"
        assert read(client, MIB, 10) == bytes(10)
        assert threading.active_count() == before + 2


def test_stopping_finishes_what_was_asked(server: Server, disk) -> None:
    disk.write(0, memoryview(b"x" * 4096))
    disk.cold = {0}
    disk.gate.clear()
    answers: list[bytes] = []
    with Client.connect(server.address) as client:
        reading = threading.Thread(target=lambda: answers.append(read(client, 0, 4096)))
        reading.start()
        assert disk.waiting.acquire(timeout=10)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        wait_until(lambda: not Path(server.address.path).exists())
        disk.gate.set()
        stopping.join(10)
        reading.join(10)
        assert answers == [b"x" * 4096]
        with pytest.raises(Unavailable):
            read(client, 0, 1)
    with pytest.raises(Unavailable, match="Nobody answers"):
        Client.connect(server.address)


@pytest.mark.parametrize("where", [Address("127.0.0.1", 0), None], ids=["tcp", "unix"])
def test_stopping_does_not_wait_for_clients_that_go_on_asking(tmp_path: Path, where: Address | None) -> None:
    with Server({"": MemoryExport(MIB)}, where or Address(path=str(tmp_path / "s"))) as server:
        asked = threading.Event()

        def ask() -> None:
            with Client.connect(server.address) as client, contextlib.suppress(Unavailable):
                while True:
                    read(client, 0, 4096)
                    asked.set()

        asking = threading.Thread(target=ask)
        asking.start()
        assert asked.wait(10)
        server.stop(grace_seconds=60)
        asking.join(10)
        assert not asking.is_alive()


def test_one_connection_too_many_is_closed_until_another_leaves(disk: MemoryExport, tmp_path: Path) -> None:
    ended: list[Ended] = []
    where = Address(path=str(tmp_path / "s"))
    with Server({"": disk}, where, limits=Limits(connections=2), report=ended.append) as server:
        one, two = Client.connect(where), Client.connect(where)
        with pytest.raises(Unavailable):
            Client.connect(where)
        assert [end.error for end in ended] == ["there are too many connections"]
        one.close()
        wait_until(lambda: len(ended) == 2)
        with Client.connect(server.address) as three:
            assert read(three, 0, 1) == b"\0"
        two.close()


def test_a_socket_is_for_its_owner_alone(server: Server) -> None:
    assert stat.S_IMODE(Path(server.address.path).stat().st_mode) == 0o600


def test_the_socket_of_a_dead_server_is_replaced(disk: MemoryExport, tmp_path: Path) -> None:
    where = Address(path=str(tmp_path / "s"))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(where.path)
    with Server({"": disk}, where), Client.connect(where) as client:
        assert client.size_bytes == 16 * MIB


@pytest.mark.parametrize(("mode", "owner"), [(0o711, 7), (0o777, 0)], ids=["ours alone", "anybody's"])
def test_who_was_given_the_socket_of_a_dead_server_reaches_the_next_one(
    disk: MemoryExport, tmp_path: Path, mode: int, owner: int
) -> None:
    where = Address(path=str(tmp_path / "s"))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(where.path)
    os.chown(where.path, 7, -1)
    tmp_path.chmod(mode)
    with Server({"": disk}, where):
        found = Path(where.path).stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (owner, 0o600)


def test_the_socket_of_a_living_server_is_not_taken(server: Server, disk: MemoryExport) -> None:
    with pytest.raises(Refused, match="Another server"):
        Server({"": disk}, server.address).start()
    with Client.connect(server.address) as client:
        assert client.size_bytes == 16 * MIB


def test_a_file_that_is_no_socket_is_left_alone(disk: MemoryExport, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    with pytest.raises(Refused, match="no socket"):
        Server({"": disk}, Address(path=str(precious))).start()
    assert precious.read_text() == "data"


def test_a_port_that_is_taken_is_unavailable(disk: MemoryExport) -> None:
    with (
        Server({"": disk}, Address("127.0.0.1", 0)) as server,
        pytest.raises(Unavailable, match="Cannot listen"),
    ):
        Server({"": disk}, server.address).start()


def test_a_client_that_vanishes_leaves_its_writes_done(
    server: Server, disk: MemoryExport, ended: list[Ended]
) -> None:
    client = Client.connect(server.address, access=Access(timeout=5))
    client.write(0, memoryview(b"x" * 3 * MIB))
    client.close()
    wait_until(lambda: len(ended) == 1)
    assert disk.read(0, 1)[0][1] == b"x"
