from __future__ import annotations

import socket

import pytest

from bascule.model.errors import Unavailable
from bascule.wire.nbd.client import Client
from bascule.wire.nbd.lent import lend, lender, take_back
from bascule.wire.nbd.server import Ended, Server


def test_a_name_stands_for_whoever_lends_until_he_takes_it_back() -> None:
    one, other = socket.socketpair()
    with one, other:
        name = lend(lambda: one)
        assert lender(name)() is one
        assert lend(lambda: other) != name
        take_back(name)
        take_back(name)
        with pytest.raises(Unavailable, match="not served any more"):
            lender(name)


def test_a_client_of_a_lent_connection_leaves_it_standing(server: Server, ended: list[Ended]) -> None:
    """No goodbye and no shutdown, or the server would see a client leave."""
    with socket.socket(socket.AF_UNIX) as kept:
        kept.connect(server.address.path)
        client = Client.over(kept.dup(), is_lent=True)
        buffer = bytearray(512)
        client.read_into(0, memoryview(buffer))
        client.close()
        assert ended == []
        kept.setblocking(False)
        with pytest.raises(BlockingIOError):
            kept.recv(1)
