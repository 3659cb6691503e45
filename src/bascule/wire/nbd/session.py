"""One client of a server, from the greeting to the end of its connection."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bascule.model.errors import Missing

from .crew import Bounds, Hands
from .export import Export
from .protocol import constants as nbd
from .protocol.dialogue import Dialogue
from .protocol.options import BlockSizes
from .protocol.server_handshake import Entry, Offer, ServerHandshake, TlsMode
from .streams.plain import Stream, converse
from .transmission import Transmission

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Certificates of a server. For mutual TLS the context demands the client's and knows its authority."""

    context: ssl.SSLContext
    required: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may cost: how many, and how long a handshake, a send or a half-sent request may take."""

    connections: int = 64
    handshake_seconds: float = 15.0
    stall_seconds: float = 300.0
    each: Bounds = field(default_factory=Bounds)


USUAL = Limits()


class Session:
    """A client's connection. ``run`` is a thread's whole life; the rest may be called from others."""

    def __init__(
        self,
        stream: Stream,
        exports: Mapping[str, Export],
        tls: ServerTls | None,
        limits: Limits,
        hands: Hands,
    ) -> None:
        self._stream = stream
        self._exports = exports
        self._tls = tls
        self._limits = limits
        self._hands = hands
        self._transmission: Transmission | None = None
        self.export = ""

    def run(self) -> None:
        """Serve until the client leaves, or raise what ended it."""
        try:
            entry = self._shake_hands()
            if entry is not None:
                self.export = entry.export
                self._stream.set_timeout(self._limits.stall_seconds)
                self._transmission = Transmission(
                    self._stream,
                    self._exports[entry.export],
                    entry,
                    self._limits.each,
                    self._limits.stall_seconds,
                    self._hands,
                )
                self._transmission.run()
        finally:
            self._stream.close()

    def stop(self) -> None:
        """Let the client have the replies it waits for, and end."""
        if self._transmission is None:
            self._stream.abort()
        else:
            self._transmission.stop()

    def abort(self) -> None:
        """End now."""
        self._stream.abort()

    def _shake_hands(self) -> Entry | None:
        deadline = time.monotonic() + self._limits.handshake_seconds
        mode = TlsMode.OFF
        if self._tls:
            mode = TlsMode.REQUIRED if self._tls.required else TlsMode.OPTIONAL
        handshake = ServerHandshake(_Exports(self._exports), mode)

        def upgrade(plain: Stream) -> Stream:
            from .streams.tls import TlsStream

            assert self._tls is not None  # or it would not have been offered
            context = self._tls.context
            self._stream = TlsStream(plain, context, server_side=True, name=None, deadline=deadline)
            return self._stream

        return converse(Dialogue(handshake.steps()), self._stream, upgrade, deadline)[0]


class _Exports:
    """A server's exports, as the handshake asks for them."""

    def __init__(self, exports: Mapping[str, Export]) -> None:
        self._exports = exports

    def names(self) -> Iterable[str]:
        return list(self._exports)

    def offer(self, name: str) -> Offer:
        export = self._exports.get(name)
        if export is None:
            raise Missing(f"There is no export {name!r}")
        sizes = BlockSizes(export.minimum_block, max(export.preferred_block, export.minimum_block))
        return Offer(export.size_bytes, _flags(export), sizes, tuple(export.contexts))


def _flags(export: Export) -> int:
    flags = nbd.HAS_FLAGS | nbd.CAN_MULTI_CONN | nbd.SEND_CACHE
    if export.read_only:
        return flags | nbd.READ_ONLY
    return flags | nbd.SEND_FLUSH | nbd.SEND_FUA | nbd.SEND_TRIM | nbd.SEND_WRITE_ZEROES
