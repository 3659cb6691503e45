"""The judge of ledgers has to tell every kind of wrong disks from right ones, and by their own names."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client
from lab import ledger
from lab.ledger import BLOCK, Absent, Bounds, FromTheFuture, Lost, OutOfOrder, Torn, judge, judge_group
from lab.programs import compiled
from tests.lab.ledger.histories import BEGUN, Shape, Write, Writer, after, images, put

SHAPE = Shape()
RECORDS = 20
TITLES = SHAPE.disks

shapes = st.builds(
    Shape,
    disks=st.integers(1, 4),
    slots=st.integers(1, 6),
    scattered=st.sampled_from([0, 16, 32]),
    batch=st.integers(1, 3),
)


def written(shape: Shape = SHAPE, records: int = RECORDS) -> list[Write]:
    writer = Writer(shape)
    return [*writer.begin(), *writer.records(records)]


def since_beginning(number: int) -> int:
    """Count the writes up to and with a record of the usual shape."""
    return TITLES + number * (SHAPE.batch + 1)


def flip(disk: bytearray, block: int, at: int) -> None:
    disk[block * BLOCK + at] ^= 1


@given(shape=shapes, records=st.integers(0, 30), cut=st.integers(0, 200))
def test_disks_as_of_any_instant_are_right(shape: Shape, records: int, cut: int) -> None:
    history = written(shape, records)[:cut]
    verdict = judge(images(after(history, shape)))
    assert verdict.last == max((write.record for write in history), default=0)


@given(cut=st.integers(0, 30), life=st.integers(1, 20))
def test_a_ledger_that_goes_on_from_an_older_instant_is_right(cut: int, life: int) -> None:
    first = Writer(SHAPE)
    history = [*first.begin(), *first.records(life)]
    later = replace(first, life=2)
    history += list(first.records(6))[:cut]  # what is lost: the next life begins again at `life`
    kept = since_beginning(life)
    verdict = judge(images(after([*history[:kept], *later.records(5)], SHAPE)))
    assert (verdict.last, verdict.life) == (life + 5, 2)


def test_the_verdict_says_what_the_newest_record_says() -> None:
    verdict = judge(images(after(written(), SHAPE)), name="alpha")
    assert (verdict.name, verdict.last, verdict.first) == ("alpha", RECORDS, RECORDS - 7)
    assert verdict.time == pytest.approx(BEGUN + RECORDS)
    assert verdict.writes == RECORDS * SHAPE.batch


@given(slot=st.integers(0, 3), disk=st.integers(0, 1), at=st.integers(0, BLOCK - 1))
def test_a_record_of_which_any_byte_is_wrong_is_torn(slot: int, disk: int, at: int) -> None:
    disks = after(written(), SHAPE)
    flip(disks[disk], 1 + slot, at)
    with pytest.raises(Torn, match=f"disk {disk}, slot {slot}"):
        judge(images(disks))


@given(at=st.integers(1, 7).map(lambda sectors: sectors * 512))
def test_half_a_record_over_its_predecessor_is_torn(at: int) -> None:
    history = written()
    disks, newest = after(history[:-1], SHAPE), history[-1]
    begin = newest.block * BLOCK
    disks[newest.disk][begin : begin + at] = newest.content[:at]
    with pytest.raises(Torn, match="checksum"):
        judge(images(disks))


@given(missing=st.integers(RECORDS - 7, RECORDS - 2))
def test_a_record_that_was_skipped_is_absent(missing: int) -> None:
    history = [write for write in written() if write.record != missing]
    with pytest.raises(Absent, match=f"alpha: record {missing} is missing on disk {(missing - 1) % 2}"):
        judge(images(after(history, SHAPE)))


@given(disk=st.integers(0, 1), behind=st.integers(2, 12))
def test_a_disk_that_was_rolled_back_is_out_of_order(disk: int, behind: int) -> None:
    history = written()
    disks = after(history, SHAPE)
    disks[disk] = after(history, SHAPE, since_beginning(RECORDS - behind))[disk]
    with pytest.raises(OutOfOrder, match=rf"disk {disk}(, scattered)? ends at"):
        judge(images(disks))


def test_one_record_missing_at_the_end_of_one_disk_is_out_of_order() -> None:
    history = [write for write in written() if write.record != RECORDS - 1]
    with pytest.raises(OutOfOrder, match=r"disk 0 ends at record 17, and disk 1 holds record 20"):
        judge(images(after(history, SHAPE)))


def test_a_disk_of_another_life_is_out_of_order() -> None:
    first = Writer(SHAPE)
    history = [*first.begin(), *first.records(10)]
    second = replace(first, life=2)
    lost, kept = [*first.records(6)], [*second.records(6)]
    disks = after([*history, *kept], SHAPE)
    disks[1] = after([*history, *lost], SHAPE)[1]
    with pytest.raises(
        OutOfOrder, match=r"record 12 on disk 1 \(life 1\) does not follow record 11 .*life 2"
    ):
        judge(images(disks))


def test_disks_in_the_wrong_order_are_told() -> None:
    with pytest.raises(OutOfOrder, match="disk 0 is disk 1 of 2"):
        judge(images(after(written(), SHAPE)[::-1]))


def test_a_disk_of_another_ledger_is_told() -> None:
    other = Writer(SHAPE, name="beta", birth=8)
    disks = after(written(), SHAPE)
    disks[1] = after([*other.begin(), *other.records(RECORDS)], SHAPE)[1]
    with pytest.raises(OutOfOrder, match="of ledger beta"):
        judge(images(disks))
    with pytest.raises(OutOfOrder, match="disks of alpha, not of beta"):
        judge(images(after(written(), SHAPE)), name="beta")


def test_a_record_in_a_place_that_is_not_its_own_is_told() -> None:
    history = written()
    disks = after(history, SHAPE)
    put(disks, replace(history[-1], block=history[-1].block % SHAPE.slots + 1))
    with pytest.raises(OutOfOrder, match="whose place is elsewhere"):
        judge(images(disks))


def test_a_disk_that_was_never_begun_is_told() -> None:
    disks = after(written(), SHAPE)
    disks[1] = bytearray(len(disks[1]))
    with pytest.raises(OutOfOrder, match="disk 1 was never begun"):
        judge(images(disks))
    disks[0][:BLOCK] = b"x" * BLOCK
    with pytest.raises(Torn, match="disk 0 does not begin with the title"):
        judge(images(disks))


@pytest.mark.parametrize("disk", [0, 1])
def test_a_scattered_write_that_is_torn_is_told(disk: int) -> None:
    disks = after(written(), SHAPE)
    flip(disks[disk], 1 + SHAPE.slots + 3, 2048)
    with pytest.raises(Torn, match=f"disk {disk}, scattered: block 3"):
        judge(images(disks))


@given(missing=st.integers(1, RECORDS * SHAPE.batch))
def test_a_scattered_write_that_was_skipped_is_absent(missing: int) -> None:
    history = written()
    kept = [write for write in history if int.from_bytes(write.content[:8], "little") != missing * 512]
    overwritten = after(kept, SHAPE) == after(history, SHAPE)
    assert len(kept) == len(history) - 1
    if overwritten:
        assert judge(images(after(kept, SHAPE))).last == RECORDS
        return
    with pytest.raises((Absent, OutOfOrder), match=r"holds write|ends at write"):
        judge(images(after(kept, SHAPE)))


def test_writes_that_are_under_way_are_there_in_their_order() -> None:
    history = written()
    kept = history[: since_beginning(10)]
    under_way = history[since_beginning(10) :][: SHAPE.batch]
    for done in range(SHAPE.batch + 1):
        assert judge(images(after([*kept, *under_way[:done]], SHAPE))).last == 10
    swapped = after([*kept, under_way[1]], SHAPE)
    with pytest.raises(OutOfOrder, match="not of one instant"):
        judge(images(swapped))
    assert judge(images(swapped), Bounds(instant=False)).last == 10


def test_without_an_instant_only_what_was_flushed_is_asked_for() -> None:
    history = written()
    kept = history[: since_beginning(10)]
    cached = [write for write in kept[-SHAPE.batch - 1 : -1] if write.disk == 0]
    fewer = [write for write in kept if write not in cached]
    with pytest.raises(OutOfOrder, match="not of one instant"):
        judge(images(after(fewer, SHAPE)))
    assert judge(images(after(fewer, SHAPE)), Bounds(instant=False)).last == 10


def test_scattered_writes_from_the_future_are_told() -> None:
    history = written()
    later = [write for write in history[since_beginning(14) :] if not write.record]
    disks = after([*history[: since_beginning(10)], *later], SHAPE)
    with pytest.raises(FromTheFuture, match=r"disk \d, scattered holds write"):
        judge(images(disks))


def test_bounds_are_kept() -> None:
    disks = images(after(written(), SHAPE))
    assert judge(disks, Bounds(RECORDS, RECORDS, BEGUN + RECORDS + 1)).last == RECORDS
    with pytest.raises(Lost, match="alpha ends at record 20, and record 21 had been acknowledged"):
        judge(disks, Bounds(at_least=RECORDS + 1))
    with pytest.raises(FromTheFuture, match="alpha holds record 20, and 19 is the last"):
        judge(disks, Bounds(at_most=RECORDS - 1))
    with pytest.raises(FromTheFuture, match="none can be after"):
        judge(disks, Bounds(not_after=BEGUN + RECORDS - 0.5))


def test_empty_disks_hold_no_record() -> None:
    empty = images(after([], SHAPE))
    assert judge(empty).last == 0
    with pytest.raises(Lost):
        judge(empty, Bounds(at_least=1))


def test_a_machine_that_heard_of_a_record_that_its_writer_lacks_is_out_of_order() -> None:
    other = Writer(SHAPE, name="beta", birth=8, heard={7: RECORDS, 99: 5})
    beta = images(after([*other.begin(), *other.records(3)], SHAPE))
    history = written()
    verdicts = judge_group({"alpha": images(after(history, SHAPE)), "beta": beta})
    assert (verdicts["alpha"].last, verdicts["beta"].last) == (RECORDS, 3)
    with pytest.raises(OutOfOrder, match="beta had heard of record 20 of alpha when it wrote record 3"):
        judge_group({"alpha": images(after(history[:-1], SHAPE)), "beta": beta})


class Running:
    """The ledger's program on files of this machine."""

    def __init__(self, folder: Path) -> None:
        self.disks = [folder / "a", folder / "b", folder / "c"]
        for disk in self.disks:
            with disk.open("ab") as stream:
                stream.truncate(4 << 20)
        words = ["alpha", "500", "7", "32", "-", *self.disks]
        self.process = subprocess.Popen([compiled("ledger"), *words], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.lines = self.process.stdout

    def until(self, record: int) -> None:
        """Wait until a record is acknowledged."""
        for line in self.lines:
            if line.startswith("ledger: acknowledged") and int(line.split()[-1]) >= record:
                return
        raise AssertionError("it ended before")

    def end(self, *, clean: bool) -> int:
        """End it; return the last record of which it said so."""
        if clean:
            self.process.terminate()
        else:
            self.process.kill()
        said = [line for line in self.lines if "acknowledged" in line]
        self.process.wait(30)
        self.lines.close()
        return int(said[-1].split()[-1]) if said else 0

    def judged(self) -> ledger.Verdict:
        with ledger.opened(*map(str, self.disks)) as disks:
            return judge(disks)


@pytest.mark.slow
def test_the_program_and_the_judge_agree_life_after_life(tmp_path: Path) -> None:
    last = 0
    for life in range(1, 5):
        running = Running(tmp_path)
        first = running.lines.readline()
        assert first == f"ledger: up at record {last}, life {life}\n"
        running.until(last + 150)  # around the ring, which holds 96
        acknowledged = running.end(clean=life % 2 == 0)
        verdict = running.judged()
        assert verdict.life == life
        assert verdict.last >= max(acknowledged, last + 150)
        last = verdict.last


def test_the_program_does_not_go_on_with_a_ledger_that_is_wrong(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.until(50)
    older = running.disks[1].read_bytes()
    running.until(90)
    running.end(clean=True)
    running.disks[1].write_bytes(older)
    with pytest.raises(OutOfOrder, match="disk 1 ends at record"):
        running.judged()
    again = Running(tmp_path)
    said = again.lines.read()
    again.end(clean=True)
    assert "ledger: BROKEN: missing or torn is record" in said


@pytest.mark.lab
def test_a_ledger_is_judged_over_nbd(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.until(200)
    running.end(clean=True)
    with ExitStack() as stack:
        sockets = []
        for disk in running.disks:
            socket = disk.with_suffix(".sock")
            command = [
                "qemu-nbd",
                "-r",
                "-f",
                "raw",
                "-k",
                socket,
                "--fork",
                "--pid-file",
                disk.with_suffix(".pid"),
            ]
            subprocess.run([*command, disk], check=True)
            sockets.append(socket)
        clients = [stack.enter_context(Client.connect(Address(path=str(socket)))) for socket in sockets]
        assert judge(clients) == running.judged()
