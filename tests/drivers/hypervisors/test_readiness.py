from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator

import pytest

from bascule.drivers.hypervisors.readiness import ready


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_what_has_bytes_can_be_read_and_what_has_room_be_written(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    assert ready(0, [ours]) == frozenset()
    assert ready(0, [ours], [theirs]) == {theirs.fileno()}
    theirs.send(b"x")
    assert ready(None, [ours]) == {ours.fileno()}
    assert ready(0, [ours], [ours]) == {ours.fileno()}


def test_a_peer_that_is_gone_is_no_wait(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    assert ready(None, [ours]) == {ours.fileno()}


def test_a_descriptor_that_is_closed_is_an_error_and_no_wait() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    os.close(reading)
    with pytest.raises(OSError, match="Bad file descriptor"):
        ready(None, [reading])


def test_descriptors_of_a_host_with_many_machines_are_waited_for_too(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    high = os.dup2(ours.fileno(), 2000)
    try:
        assert ready(None, [high]) == {high}
    finally:
        os.close(high)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
