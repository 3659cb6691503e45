"""A guest that stamps its disk without end, and the judge of what is recovered of it.

Each write names its own number, and which block it goes to follows from that number
(``programs/stamp.c``). So one look at an image tells whether it is an exact prefix of the
history of writes: nothing missing, nothing torn, nothing from the future.
"""

from __future__ import annotations

from array import array
from pathlib import Path

from .guests import Guest, initramfs
from .programs import compiled

BLOCK = 4096
_WORDS = BLOCK // 8
_MASK = (1 << 64) - 1


class NotExact(AssertionError):
    """An image that is not the disk as it was at any instant."""


def stamping(room: Path, drives: list[str], *, blocks: int, pause_us: int = 0, qmp: Path) -> Guest:
    """Return a guest, not started, that stamps the first ``blocks`` blocks of each of its disks."""
    disks = sum(word == "-device" for word in drives)
    lines = [
        f"/bin/stamp /dev/vd{'abcdefgh'[disk]} {blocks} {pause_us} > /dev/console &" for disk in range(disks)
    ]
    initrd = initramfs(
        room / "stamping", "\n".join([*lines, "wait"]), files={"bin/stamp": compiled("stamp").read_bytes()}
    )
    return Guest(initrd, drives, options=["-qmp", f"unix:{qmp},server=on,wait=off"])


def judge(image: bytes | bytearray) -> int:
    """Return the last write that a disk of stamps holds, with all before it, or raise NotExact."""
    return Judge(len(image) // BLOCK).judge(image)


class Judge:
    """Judges images of one disk, each of them later than the one before."""

    def __init__(self, blocks: int) -> None:
        self._expected = [0] * blocks
        self.last = 0

    def judge(self, image: bytes | bytearray) -> int:
        """Return the last write that an image holds, with all before it, or raise NotExact."""
        data, expected = memoryview(image), self._expected
        blocks = len(expected)
        found = [_stamp(data[block * BLOCK : (block + 1) * BLOCK], block) for block in range(blocks)]
        last = max(found)
        for number in range(self.last + 1, last + 1):
            expected[_mix(number) % blocks] = number
        wrong = [block for block in range(blocks) if found[block] != expected[block]]
        if wrong:
            block = wrong[0]
            raise NotExact(
                f"{len(wrong)} of {blocks} blocks are not as of write {last}: "
                f"block {block} holds write {found[block]}, not {expected[block]}"
            )
        self.last = last
        return last


def _stamp(data: memoryview, block: int) -> int:
    """Return the number of the write that a block holds, 0 if none."""
    words = array("Q", bytes(data))
    number, odd = divmod(words[0], _WORDS)
    if not number and not any(words):
        return 0
    if odd or words != array("Q", range(words[0], words[0] + _WORDS)):
        raise NotExact(f"block {block} holds parts of several writes, the first of them {number}")
    return number


def _mix(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
