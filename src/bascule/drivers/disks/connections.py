"""Connections to one NBD export: one for each thread that is at it, and no more than the server bears."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bascule.model.errors import Damaged, Refused, Unavailable
from bascule.wire.nbd.client import Client

# What QEMU is usually told to allow; a server that allows fewer is found out.
MOST = 8


class Connections:
    """Lends each thread a connection for a moment.

    ``first`` says what the export is, and later ones must say the same. Without
    multi_conn it stays alone: a flush would not cover what others wrote, and some
    servers keep a second connection waiting until the first one ends.
    """

    def __init__(self, first: Client, connect: Callable[[], Client]) -> None:
        self.first = first
        self.is_open = True
        self._connect = connect
        self._idle = [first]
        self._count = 1
        self._limit = MOST if first.multi_conn else 1
        self._changed = threading.Condition()

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Lend a connection to the calling thread; one that broke is not lent again."""
        client = None
        while client is None:
            client = self._idle_client() or self._new_client()
        try:
            yield client
        except Refused:
            self._give_back(client)
            raise
        except BaseException:
            self._drop(client)
            raise
        self._give_back(client)

    def close(self) -> None:
        """Close what is idle now, and what is lent when it comes back; safe to call twice."""
        with self._changed:
            self.is_open = False
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for client in idle:
            client.close()

    def _idle_client(self) -> Client | None:
        """Wait until a connection is idle, or there is room for another one: None."""
        with self._changed:
            while self.is_open:
                if self._idle:
                    return self._idle.pop()
                if self._count < self._limit:
                    self._count += 1
                    return None
                self._changed.wait()
        raise Refused(f"{self.first.name} is closed")

    def _new_client(self) -> Client | None:
        """Connect; None when the server has enough of us already, who then have to do."""
        try:
            return self._checked(self._connect())
        except Unavailable:
            left = self._forget()
            if not left:
                raise
            self._limit = left
            return None
        except BaseException:
            self._forget()
            raise

    def _checked(self, client: Client) -> Client:
        expected, found = (
            (one.size_bytes, one.read_only, one.contexts, one.block_sizes) for one in (self.first, client)
        )
        if found == expected:
            return client
        client.close()
        raise Damaged(
            f"{self.first.name} serves another disk than before",
            cure="start the copy again, from an export that stays",
        )

    def _give_back(self, client: Client) -> None:
        with self._changed:
            if self.is_open:
                self._idle.append(client)
                self._changed.notify()
                return
        client.close()

    def _drop(self, client: Client) -> None:
        client.close()
        self._forget()

    def _forget(self) -> int:
        with self._changed:
            self._count -= 1
            self._changed.notify()
            return self._count
