"""Connections to NBD exports that only their owner can make, and that only their owner ends.

Whoever owns such an export, in this process, says how to connect to it, and gets a name that the words of a
disk carry: ``lender=NAME``. The name is good until the owner takes it back.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable

from bascule.model.errors import Unavailable

Connect = Callable[[], socket.socket]
"""Makes one more connection, or raises Unavailable. May be called from any thread."""

_lenders: dict[str, Connect] = {}
_numbers = itertools.count(1)


def lend(connect: Connect) -> str:
    """Return a name under which ``connect`` is found."""
    name = str(next(_numbers))
    _lenders[name] = connect
    return name


def take_back(name: str) -> None:
    """Forget a name; safe to call twice."""
    _lenders.pop(name, None)


def lender(name: str) -> Connect:
    """Return what a name stands for."""
    found = _lenders.get(name)
    if found is None:
        raise Unavailable("this disk is not served any more", cure="freeze it again")
    return found
