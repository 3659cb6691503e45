"""Addresses in an isolated network: a DHCP server in its namespace, which ends with it.

Nobody else can be there, so nobody else is disturbed. The server is the distribution's dnsmasq, without any
name service; it knows the cards for which an address was asked, and answers no other. What it is to hand out
lies in a folder, a file for each card. Order, under the host's lock: the file, then a server that knows it in
the place of the one before. Leases have no end, so a guest that has one never asks again; a kill in between
leaves a file that the next one to be plugged in makes good.

The first address of each network that no guest is to have is the namespace's own, and the guests' gateway,
behind which is nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from bascule.model.errors import Refused, Unavailable

from ...readiness import ready
from .folder import make_durably, replace_durably

_SERVER = "dnsmasq"
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_END_SECONDS = 10.0


def refuse_without_server(machine: str, address: str) -> None:
    """Refuse an address for a guest if this host has no DHCP server to run."""
    if shutil.which(_SERVER, path=_PATH) is None:
        raise Refused(
            f"{machine}: {address} cannot be handed out in an isolated network: {_SERVER} is not there",
            cure="install the package dnsmasq-base",
        )


def hand_out(space: str, bridge: str, folder: Path, mac: str, address: str) -> None:
    """See that a card gets an address in the network of a namespace. The caller holds the host's lock."""
    make_durably(folder)
    for name, interface in _known(folder).items():
        if interface.ip == IPv4Interface(address).ip:
            (folder / name).unlink()  # of a machine that left, or of this one
    replace_durably(folder / mac.replace(":", ""), address)
    known = _known(folder)
    end(space)
    _run(space, "ip", "address", "flush", "dev", bridge)
    networks = sorted({interface.network for interface in known.values()})
    for network in networks:
        own = _gateway(network, known.values())
        _run(space, "ip", "address", "add", f"{own}/{network.prefixlen}", "dev", bridge)
    words = [_SERVER, "--conf-file=/dev/null", "--port=0", "--pid-file", "--leasefile-ro", "--user=root"]
    words += [
        "--log-facility=/dev/null",
        "--bind-interfaces",
        f"--interface={bridge}",
        "--except-interface=lo",
    ]
    words += [f"--dhcp-range={n.network_address},static,{n.netmask},infinite" for n in networks]
    words += [f"--dhcp-host={_spelled(name)},{interface.ip}" for name, interface in known.items()]
    _run(space, *words)


def end(space: str) -> None:
    """See that no server of ours runs in a namespace."""
    listed = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=False)
    for pid in listed.stdout.split():
        try:
            is_ours = Path("/proc", pid, "comm").read_text().strip() == _SERVER
            handle = os.pidfd_open(int(pid)) if is_ours else 0
        except (FileNotFoundError, ProcessLookupError):
            continue
        if handle:
            try:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                if not ready(_END_SECONDS, [handle]):
                    raise Unavailable(f"{_SERVER} (process {pid}) in {space} does not end")
            finally:
                os.close(handle)


def _known(folder: Path) -> dict[str, IPv4Interface]:
    """Return the addresses by the files that they are in, whose names are MACs; a dot begins what is half."""
    files = (file for file in folder.iterdir() if not file.name.startswith("."))
    return {file.name: IPv4Interface(file.read_text()) for file in files}


def _gateway(network: IPv4Network, guests: Iterable[IPv4Interface]) -> str:
    taken = {guest.ip for guest in guests}
    return str(next(host for host in network.hosts() if host not in taken))


def _spelled(name: str) -> str:
    return ":".join(name[at : at + 2] for at in range(0, len(name), 2))


def _run(space: str, *words: str) -> None:
    done = subprocess.run(
        ["ip", "netns", "exec", space, *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": _PATH},
    )
    if done.returncode:
        raise Refused(f"isolated network {space}: {' '.join(words[:3])}: {done.stderr.strip()}")
