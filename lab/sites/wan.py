"""The WAN between two sites: a process that carries packets from one namespace to the other, and tidies up.

It is slow, narrow or cut as it is told, for all that goes through it and without anybody's connections
ending at it, which a proxy could not do. A packet is sent when the line was free long enough for its bytes
and arrives after the delay; a line on which too much waits loses packets. Cut, it loses all of them silently.

It is told by lines of JSON on its standard input and answers each with a line. When that input ends, for
whatever reason, it cuts the power of both sites and removes them: nothing outlives a lab, even one that was
killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import selectors
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field

from . import power, removal

DEVICE = "wan"
MTU = 9000
_TUN, _NO_INFORMATION, _SET_INTERFACE = 0x0001, 0x1000, 0x400454CA
_NEW_NETWORK = 0x40000000
_WAITING_MAX = 4 << 20  # bytes


@dataclass
class Terms:
    """What the line is like: seconds each way, bytes a second (0 is as many as it can), and if it is cut."""

    delay_s: float = 0.0
    rate: int = 0
    is_cut: bool = False


@dataclass
class Direction:
    """One way: from where, to where, and what is between."""

    into: int
    terms: Terms
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    free_at: float = 0.0
    queued_bytes: int = 0

    def take(self, packet: bytes, now: float) -> None:
        """Put a packet on the line, or lose it."""
        if self.terms.is_cut or self.queued_bytes > _WAITING_MAX:
            return
        begun = max(now, self.free_at)
        self.free_at = begun + (len(packet) / self.terms.rate if self.terms.rate else 0.0)
        self.waiting.append((self.free_at + self.terms.delay_s, packet))
        self.queued_bytes += len(packet)

    def deliver(self, now: float) -> None:
        """Hand over what has arrived."""
        while self.waiting and self.waiting[0][0] <= now:
            _, packet = self.waiting.popleft()
            self.queued_bytes -= len(packet)
            if not self.terms.is_cut:
                _write(self.into, packet)

    def due(self, now: float) -> float | None:
        """Return in how many seconds the next packet arrives."""
        return max(0.0, self.waiting[0][0] - now) if self.waiting else None


def _write(device: int, packet: bytes) -> None:
    try:
        os.write(device, packet)
    except OSError:
        return  # The interface is down, or its queue is full: lost, as on any line


def _interface(namespace: str) -> int:
    """Make the WAN's interface in a network namespace; this thread is in that namespace afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (power.NAMESPACES / namespace).open() as room:
        if libc.setns(room.fileno(), _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _SET_INTERFACE, struct.pack("16sH14x", DEVICE.encode(), _TUN | _NO_INFORMATION))
    return device


class Line:
    """Both directions, and what tells them how to be."""

    def __init__(self, one: int, other: int) -> None:
        self._terms = Terms()
        self._ways = {one: Direction(other, self._terms), other: Direction(one, self._terms)}
        self._selector = selectors.DefaultSelector()
        for source in (0, one, other):
            self._selector.register(source, selectors.EVENT_READ)

    def carry(self) -> None:
        """Carry packets until nobody tells us anything any more."""
        while True:
            now = time.monotonic()
            dues = [due for way in self._ways.values() if (due := way.due(now)) is not None]
            for key, _ in self._selector.select(min(dues) if dues else None):
                if key.fd == 0:
                    if not self._listen():
                        return
                else:
                    self._take(key.fd)
            now = time.monotonic()
            for way in self._ways.values():
                way.deliver(now)

    def _take(self, device: int) -> None:
        now = time.monotonic()
        for _ in range(64):
            try:
                packet = os.read(device, 65536)
            except BlockingIOError:
                return
            self._ways[device].take(packet, now)

    def _listen(self) -> bool:
        line = sys.stdin.readline()
        if line:
            for word, value in json.loads(line).items():
                setattr(self._terms, word, value)
            print("done", flush=True)
        return bool(line)


def main() -> int:
    """Carry packets between two namespaces; the words are ``PREFIX ONE OTHER``."""
    prefix, one, other = sys.argv[1:]
    try:
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        line = Line(_interface(one), _interface(other))
        ctypes.CDLL(None).setns(home, _NEW_NETWORK)  # else it would end its own life with the site's
        print("up", flush=True)
        line.carry()
    finally:
        removal.remove(prefix)
    return 0
