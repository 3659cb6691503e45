"""How two sites are wired, and the processes of their hosts.

A site is a network namespace with a bridge, ``lan``, and one end of the WAN; it routes between them. A
host is a namespace with a bridge, ``br0``, which has the host's address, an uplink to the site's bridge, and
room for machines. Nothing of it is in this machine's own network, so any number of labs run side by side.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from lab.filesystems import ToolFailed, tool
from lab.guests import ROOT
from lab.waiting import wait_until

from . import power, removal, wan

_NUMBERS = itertools.count(1)
_FIRST_HOST = 10
_DEADLINE_S = 60.0
_REMOVAL_S = 120.0


class Host:
    """A computer of a site: processes with a network of their own and power that can be cut."""

    def __init__(self, name: str, namespace: str, address: str, group: Path | None) -> None:
        self.name, self.namespace, self.address = name, namespace, address
        self._group = group

    def start(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: int | IO[str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a process; it is one of this host when this returns, and what it starts in turn is too."""
        process = subprocess.Popen(
            [*self.entering(), *command],
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT if stdout is not None else None,
            text=True,
            errors="replace",
        )
        try:
            wait_until(
                lambda: process.poll() is not None or process.pid in self.processes(),
                _DEADLINE_S,
                f"{command[0]} to become a process of {self.name}",
            )
        except TimeoutError:
            process.kill()
            raise
        return process

    def run(self, *command: str | Path) -> str:
        """Run a command on this host to its end and return what it said."""
        return tool(*self.entering(), *command)

    def entering(self) -> list[str]:
        """Return the words that make the process that runs them one of this host."""
        room = f"--net={power.NAMESPACES / self.namespace}"
        if self._group is None:
            return ["nsenter", room]
        joining = 'echo $$ > "$1" && shift && exec "$@"'
        return ["sh", "-c", joining, "sh", str(self._group / "cgroup.procs"), "nsenter", room]

    def tap(self, name: str) -> str:
        """Make a tap on this host's bridge, for a card of a machine, and return its name."""
        _ip(self.namespace, f"tuntap add {name} mode tap", f"link set {name} master br0 up")
        return name

    def cut_power(self) -> None:
        """End all that runs here, at once. What is started afterwards is started by a host that came back."""
        power.cut([self._group] if self._group else [], [self.namespace])

    def processes(self) -> list[int]:
        """Return what runs here."""
        return power.members([power.namespace(self.namespace)])

    def unplug(self) -> None:
        """Take the host's cable out: it runs on, and machines on it still reach each other."""
        _ip(self.namespace, "link set uplink down")

    def plug(self) -> None:
        """Put the cable in again."""
        _ip(self.namespace, "link set uplink up")


class Site:
    """A local network with hosts on it."""

    def __init__(self, name: str, number: int, namespace: str, group: Path | None) -> None:
        self.name, self.namespace = name, namespace
        self.hosts: dict[str, Host] = {}
        self._number, self._group = number, group
        if group:
            group.mkdir()
        tool("ip", "netns", "add", namespace)
        gateway = f"10.77.{number}.1"
        _ip(
            namespace,
            "link set lo up",
            f"link add lan mtu {wan.MTU} type bridge",
            f"addr add {gateway}/24 dev lan",
            "link set lan up",
        )
        forwarding = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        tool("nsenter", f"--net={power.NAMESPACES / namespace}", "sh", "-c", forwarding)

    @property
    def network(self) -> str:
        """Return the site's addresses."""
        return f"10.77.{self._number}.0/24"

    def add_host(self, name: str) -> Host:
        """Put a host on the site's network."""
        order = len(self.hosts)
        group = self._group / name if self._group else None
        if group:
            group.mkdir()
        address = f"10.77.{self._number}.{_FIRST_HOST + order}"
        host = Host(name, f"{self.namespace}-{name}", address, group)
        tool("ip", "netns", "add", host.namespace)
        port = f"port{order}"
        _ip(
            self.namespace,
            f"link add {port} mtu {wan.MTU} type veth peer name uplink mtu {wan.MTU} netns {host.namespace}",
            f"link set {port} master lan up",
        )
        _ip(
            host.namespace,
            "link set lo up",
            f"link add br0 mtu {wan.MTU} type bridge",
            "link set uplink master br0 up",
            f"addr add {address}/24 dev br0",
            "link set br0 up",
            f"route add default via 10.77.{self._number}.1",
        )
        self.hosts[name] = host
        return host

    def cut_power(self) -> None:
        """End all that runs on any host here, at once: no flush, no goodbye."""
        power.cut([self._group] if self._group else [], [host.namespace for host in self.hosts.values()])


class Sites:
    """A primary and a recovery site, and the WAN between them; needs root. ``close`` removes all of it.

    ``grouped`` may be set to False to do without control groups, as where there are none.
    """

    def __init__(self, *, grouped: bool = True) -> None:
        removal.remove_orphans()
        prefix = removal.prefix(next(_NUMBERS))
        home = power.control_groups() if grouped else None
        if home:
            (home / prefix).mkdir()
        try:
            self.primary, self.recovery = (
                Site(name, number, f"{prefix}-{name}", home / prefix / name if home else None)
                for number, name in enumerate(("primary", "recovery"), 1)
            )
            self._wan = self._connected(prefix)
        except BaseException:
            removal.remove(prefix)
            raise

    def limit(self, bytes_a_second: int) -> None:
        """Make the WAN this wide, each way; 0 is as wide as it can be."""
        self._tell(rate=bytes_a_second)

    def delay(self, seconds: float) -> None:
        """Let every packet take so long, each way."""
        self._tell(delay_s=seconds)

    def cut(self) -> None:
        """Cut the WAN: what is on it is lost, and nobody is told."""
        self._tell(is_cut=True)

    def heal(self) -> None:
        """Let the WAN carry again."""
        self._tell(is_cut=False)

    def close(self) -> None:
        """End all processes of both sites and remove every trace, or raise; safe to call twice."""
        if self._wan.stdin and not self._wan.stdin.closed:
            self._wan.communicate(timeout=_REMOVAL_S)
            if self._wan.returncode:
                raise ToolFailed(
                    f"something of the sites is left: what removes them ended with {self._wan.returncode}"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connected(self, prefix: str) -> subprocess.Popen[str]:
        ends = (self.primary, self.recovery)
        words = [sys.executable, "-m", "lab.sites", prefix, *(site.namespace for site in ends)]
        # A session of its own: what interrupts the lab at a keyboard leaves it to tidy up.
        carrier = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert carrier.stdout is not None
        if carrier.stdout.readline() != "up\n":
            raise RuntimeError(f"the WAN did not come up: {carrier.wait(30)}")
        for number, (site, other) in enumerate((ends, ends[::-1]), 1):
            _ip(
                site.namespace,
                f"addr add 10.77.255.{number}/30 dev {wan.DEVICE}",
                f"link set {wan.DEVICE} mtu {wan.MTU} txqueuelen 1000 up",
                f"route add {other.network} dev {wan.DEVICE}",
            )
        return carrier

    def _tell(self, **terms: Any) -> None:
        assert self._wan.stdin is not None
        assert self._wan.stdout is not None
        self._wan.stdin.write(json.dumps(terms) + "\n")
        self._wan.stdin.flush()
        if self._wan.stdout.readline() != "done\n":
            raise RuntimeError("the WAN is gone")


def _ip(namespace: str, *lines: str) -> None:
    """Run commands of ``ip`` inside a namespace."""
    for line in lines:
        tool("ip", "-n", namespace, *line.split())
