"""Run a handshake written as a generator, whatever the pieces its bytes arrive in.

A handshake yields what it needs next: ``Send``, ``Receive`` or ``StartTls``, and
returns what was agreed. It asks for exact lengths, so nothing that belongs to TLS
or to the transmission phase is ever read too early.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes for the peer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Receive:
    """The handshake goes on when exactly this many bytes have come."""

    count: int


@dataclass(frozen=True, slots=True)
class StartTls:
    """The handshake goes on when the connection is encrypted."""


Step = Send | Receive | StartTls
Steps = Generator[Step, bytes, T]


class Dialogue(Generic[T]):
    """One handshake under way.

    Send what ``take_outgoing`` returns, then: it is ``finished`` and ``result``
    holds, or ``wants_tls`` and ``tls_started`` continues it, or ``buffer`` is to
    be filled, in as many pieces as they come, each followed by ``received``.
    """

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._outgoing: list[bytes] = []
        self._need = bytearray()
        self._have = 0
        self.wants_tls = False
        self.finished = False
        self._result: list[T] = []
        self._advance(None)

    @property
    def result(self) -> T:
        """Return what was agreed, once it is finished."""
        return self._result[0]

    def take_outgoing(self) -> bytes:
        """Return what is to be sent now, and forget it."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def buffer(self) -> memoryview:
        """Return where the next received bytes go."""
        return memoryview(self._need)[self._have :]

    def received(self, count: int) -> None:
        """Continue with ``count`` bytes that were put into ``buffer``."""
        self._have += count
        if self._have == len(self._need):
            self._advance(bytes(self._need))

    def tls_started(self) -> None:
        """Continue on the encrypted connection."""
        self.wants_tls = False
        self._advance(b"")

    def _advance(self, answer: bytes | None) -> None:
        try:
            step = next(self._steps) if answer is None else self._steps.send(answer)
            while isinstance(step, Send):
                self._outgoing.append(step.data)
                step = next(self._steps)
        except StopIteration as end:
            self._result, self.finished = [end.value], True
            self._need, self._have = bytearray(), 0
            return
        if isinstance(step, StartTls):
            self.wants_tls = True
        else:
            self._need, self._have = bytearray(step.count), 0
            if not step.count:
                self._advance(b"")
