"""Hosts that joined a server and report every ten seconds, over the real protocol, and do nothing else.

Each has two connections, as a provider has: one waits for commands, on the other it says how ten items are.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bascule.apps.chance import SystemIds
from bascule.drivers.pki.credentials import HostCredentials
from bascule.model.vault.commands import Json, Report
from bascule.replication.uplink.joining import register
from bascule.replication.uplink.papers import Desk, Papers
from bascule.wire.control import messages
from bascule.wire.control.invitation import address_parts, door_name, invitation_from

EVERY_SECONDS = 10.0
_RETRY_SECONDS = 1.0


def join(folder: Path, key: bytes, name: str) -> str:
    """Let a host join, and return its id."""
    desk = Desk(folder)
    return register(desk, invitation_from(key), HostCredentials(), SystemIds(), name).host


def facts(now: float) -> dict[str, Json]:
    """Return what is said of an item that is well."""
    newest: dict[str, Json] = {"number": int(now), "captured_at": now, "consistency": "crash"}
    return {"state": "replicating", "safe_as_of": int(now), "newest": newest, "trouble": None}


class Host:
    """One host. What it says changes with each report, as that of machines that write does."""

    def __init__(self, papers: Papers, groups: list[str]) -> None:
        self._papers = papers
        self._groups = groups
        self._number = 0

    async def live(self, delay: float) -> None:
        """Report and wait for commands, for ever."""
        await asyncio.sleep(delay)
        await asyncio.gather(_persistently(self._report), _persistently(self._obey))

    async def _report(self) -> None:
        line = await self._line()
        self._number = 0
        while True:
            began = time.monotonic()
            report = Report(self._papers.host, self._number + 1, self._number, self._said(time.time()))
            await _post(*line, "facts", messages.written(report))
            self._number += 1
            await asyncio.sleep(max(0.0, EVERY_SECONDS - (time.monotonic() - began)))

    async def _obey(self) -> None:
        line = await self._line()
        while True:
            await _post(*line, "commands", messages.written(messages.Exchange(self._papers.host, 0)))

    def _said(self, now: float) -> dict[str, dict[str, Json]]:
        if not self._number:
            return {group: facts(now) for group in self._groups}
        timely = {name: value for name, value in facts(now).items() if name in ("safe_as_of", "newest")}
        return dict.fromkeys(self._groups, timely)

    async def _line(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self._papers.authority)
        context.load_cert_chain(self._papers.pem)
        host, port = address_parts(self._papers.addresses[0])
        name = door_name(self._papers.vault)
        return await asyncio.open_connection(host, port, ssl=context, server_hostname=name)


async def _persistently(life: Callable[[], Awaitable[None]]) -> None:
    """Go on with another connection where the door hung up, as a host does."""
    while True:
        try:
            await life()
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(_RETRY_SECONDS)


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str, body: bytes) -> None:
    head = f"POST /v1/{what} HTTP/1.1\r\nHost: door\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    answer = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    said = await reader.readexactly(int(length.split(b":")[1]))
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the door said {said!r}")


async def _live(hosts: list[Host]) -> None:
    beginning = (host.live(number * EVERY_SECONDS / len(hosts)) for number, host in enumerate(hosts))
    await asyncio.gather(*beginning)


def main() -> None:
    """Be the hosts that a file names, with their items."""
    known: dict[str, list[str]] = json.loads(Path(sys.argv[1]).read_text())
    hosts = []
    for folder, groups in known.items():
        papers = Desk(Path(folder)).papers()
        assert papers is not None, f"{folder} has joined no vault"
        hosts.append(Host(papers, groups))
    asyncio.run(_live(hosts))


if __name__ == "__main__":
    main()
