"""Plugging machines into networks: a tap that lives exactly as long as its QEMU.

A tap is made by opening ``/dev/net/tun``, and is gone when its last descriptor closes. QEMU inherits the
descriptor and we close ours: whoever dies when, no tap is left, and there is nothing to clean up.

An isolated network is a network namespace with a bridge in it and nothing else: no address, no route, no
way to the host; unless an address was asked for a guest (``leases``). It is there while machines are plugged
in. Order, under the host's lock: note its name, make the namespace, make the bridge; taken away in reverse.
So what is noted may be missing and nothing exists that is not noted.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bascule.model.errors import Refused
from bascule.model.machines import MachineDefinition, Nic, mac_of
from bascule.ports.chance import Ids

from .folder import HostFolder, make_durably
from .leases import end, hand_out
from .networks import Kind, Network, check_networks, way_out

_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER_WITH_OFFLOAD = 0x0002 | 0x1000 | 0x4000  # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
_REQUEST = "16sH22x"  # struct ifreq
_OURS = "bsc"
_BRIDGE = "br0"
_ISOLATED = "bascule-"


@contextmanager
def plugged(
    host: HostFolder, networks: Mapping[str, Network], definition: MachineDefinition, ids: Ids
) -> Iterator[dict[str, str]]:
    """Yield what QEMU is told of the plug of each card; it has to be started meanwhile."""
    check_networks(definition, networks)
    with ExitStack() as open_taps:
        plugs = {}
        for nic in definition.hardware.nics:
            if nic.network:
                # Not numbered: a tap that moves to another namespace leaves its number here for the next one.
                tap = f"{_OURS}{ids.random(5).hex()}"
                plugs[nic.id] = _plug(
                    _Card(definition.name, nic, tap), networks[nic.network], host, open_taps
                )
        yield plugs


def descriptors(plugs: Mapping[str, str]) -> list[int]:
    """Return the descriptors that QEMU has to inherit for its plugs."""
    return [
        int(words.removeprefix(_BY_DESCRIPTOR))
        for words in plugs.values()
        if words.startswith(_BY_DESCRIPTOR)
    ]


_BY_DESCRIPTOR = "tap,fd="


@dataclass(frozen=True, slots=True)
class _Card:
    """A card of a machine, and what its tap is called if it gets one."""

    machine: str
    nic: Nic
    tap: str


def _plug(card: _Card, network: Network, host: HostFolder, open_taps: ExitStack) -> str:
    if network.kind is Kind.USER:
        return way_out(card.nic.address)
    if network.kind is Kind.TAP:
        return f"tap,ifname={network.device},script=no,downscript=no"
    tap, where = card.tap, f"{card.machine}: network {card.nic.network}"
    descriptor = _tap(tap, where)
    open_taps.callback(os.close, descriptor)
    _ip(where, "link", "set", "dev", tap, "alias", f"bascule {card.machine} {card.nic.id}")
    if network.kind is Kind.BRIDGE:
        _ip(where, "link", "set", "dev", tap, "master", network.device, "up")
    else:
        with host.held():
            space = _isolated(host, card.nic.network)
            _ip(where, "link", "set", "dev", tap, "netns", space)
            _ip(where, "-n", space, "link", "set", "dev", tap, "master", _BRIDGE, "up")
            if card.nic.address:
                mac = card.nic.mac or mac_of(card.machine, card.nic.id)
                hand_out(space, _BRIDGE, _leases(host, space), mac, card.nic.address)
    return f"{_BY_DESCRIPTOR}{descriptor}"


def _tap(name: str, where: str) -> int:
    """Make a tap; return its descriptor."""
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            asked = struct.pack(_REQUEST, name.encode(), _TAP_WITHOUT_HEADER_WITH_OFFLOAD)
            fcntl.ioctl(descriptor, _TUNSETIFF, asked)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise Refused(
            f"{where}: a tap cannot be made: {error.strerror}",
            cure="run as root or with CAP_NET_ADMIN, or use a network of kind user",
        ) from error
    return descriptor


def isolated_name(host: HostFolder, network: str) -> str:
    """Return the name of the namespace that is an isolated network of a host."""
    return _ISOLATED + hashlib.sha256(f"{host.path}\0{network}".encode()).hexdigest()[:12]


def _isolated(host: HostFolder, network: str) -> str:
    """Make the namespace of an isolated network if it is not whole. The caller holds the host's lock."""
    space, where = isolated_name(host, network), f"network {network}"
    make_durably(_notes(host))
    (_notes(host) / space).touch()
    if not _is_whole(space):
        _run("netns", "delete", space)
        _ip(where, "netns", "add", space)
        _ip(where, "-n", space, "link", "add", _BRIDGE, "type", "bridge")
        _ip(where, "-n", space, "link", "set", "dev", _BRIDGE, "up")
    return space


def _notes(host: HostFolder) -> Path:
    return host.path / "isolated"


def _leases(host: HostFolder, space: str) -> Path:
    return host.path / "leases" / space


def _is_whole(space: str) -> bool:
    return _run("-n", space, "link", "show", "up", "dev", _BRIDGE).stdout != ""


def sweep(host: HostFolder) -> None:
    """Take away the isolated networks that no machine is plugged into."""
    if not _notes(host).is_dir():
        return
    with host.held():
        for note in sorted(_notes(host).iterdir()):
            if not _taps_in(note.name):
                end(note.name)
                shutil.rmtree(_leases(host, note.name), ignore_errors=True)
                _run("netns", "delete", note.name)
                note.unlink()


def _taps_in(space: str) -> bool:
    listed = _run("-n", space, "-json", "link", "show", "type", "tun").stdout
    return any(found.get("ifname") for found in json.loads(listed or "[]"))


def _ip(where: str, *words: str) -> None:
    done = _run(*words)
    if done.returncode:
        raise Refused(
            f"{where}: ip {' '.join(words)}: {done.stderr.strip()}",
            cure="see that the host has this device, and that we run as root or with CAP_NET_ADMIN",
        )


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Refused("the command ip is not there", cure="install the package iproute2") from error
