"""The tools of the command line: real drivers, real time, real chance. Drivers load when they are used."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .chance import SystemClock, SystemIds

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager

    from bascule.data.store import Vault
    from bascule.drivers.hypervisors.fake.park import FakePark
    from bascule.front.cli.door.behind import VaultDoor
    from bascule.front.cli.tools import Existing
    from bascule.front.cli.vault.settings import Opened, ServerSettings
    from bascule.model.machines import MachineDefinition
    from bascule.model.vault.signs.check import Check
    from bascule.ports.disks import DiskSink, DiskSource
    from bascule.ports.guests import Commands, GuestAgent
    from bascule.ports.hypervisors import Hypervisor
    from bascule.ports.images import Images
    from bascule.ports.machines import RunningMachine
    from bascule.ports.objects import ObjectStore
    from bascule.ports.serving import Serving
    from bascule.ports.vault.pki import Credentials


class SystemTools:
    """What ``front.cli`` asks for, on this machine."""

    def __init__(self, settings: Mapping[str, str] = os.environ, *, owns_process: bool = False) -> None:
        self.clock = SystemClock()
        self.ids = SystemIds()
        self.settings = settings
        self._owns_process = owns_process

    @property
    def who(self) -> str:
        """Return user, host and process, as the store's logs will name this writer."""
        import getpass

        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = str(os.getuid())  # in a container a user may have no name
        return f"{user}@{socket.gethostname()} ({os.getpid()})"

    @property
    def itself(self) -> Sequence[str]:
        """Return the words by which others run this command line, wherever they are."""
        return (sys.executable, "-m", "bascule.apps.command_line")

    def open_store(self, place: str, *, create: bool = False, direct_reads: bool = False) -> ObjectStore:
        """Open a folder, a container or a bucket; what may fail for a while is tried again.

        A place for a new store first has to prove that it creates a name once only.
        """
        from bascule.drivers.objects.factory import is_remote, open_store

        store: ObjectStore = open_store(
            place, settings=self.settings, create=create, direct_reads=direct_reads
        )
        if is_remote(place):
            from bascule.drivers.objects.retry import RetryingStore

            store = RetryingStore(store, self.clock, self.ids)
        if create:
            from bascule.drivers.objects.probe import check_create_if_absent

            check_create_if_absent(store, self.ids)
        return store

    def open_source(self, words: str) -> DiskSource:
        """Open a disk to read."""
        if words.startswith("fake:"):
            return self._park.open(words)
        from bascule.drivers.disks.factory import open_source

        return open_source(words)

    def open_machine(self, qmp: Path, folder: Path) -> RunningMachine:
        """Adopt a running QEMU."""
        from bascule.drivers.hypervisors.qemu.machine import QemuMachine

        return QemuMachine.adopt(qmp, folder, self.clock, self.ids)

    def open_hypervisor(self, words: str) -> Hypervisor:
        """Open a host of machines: today a folder of QEMU machines."""
        from bascule.drivers.hypervisors.factory import open_hypervisor

        return open_hypervisor(words, self.clock, self.ids, self.settings)

    def adopt(self, words: str, folder: Path) -> RunningMachine:
        """Adopt the running machine that words name: a QMP socket, HOST#NAME, or a fake one."""
        if words.startswith("fake:"):
            return self._park.adopt(words)
        host, is_named, name = words.partition("#")
        if is_named:
            return self.open_hypervisor(host).adopt(name)
        return self.open_machine(Path(words), folder)

    def definition(self, words: str) -> MachineDefinition | None:
        """Return what the machine is made of that words name, None where no host defined it."""
        host, is_named, name = words.partition("#")
        return self.open_hypervisor(host).definition(name) if is_named else None

    def agent(self, words: str, folder: Path, which: str) -> GuestAgent | None:
        """Return the agent of a machine's guest, not connected; None where there is no way to it."""
        if words.startswith("fake:"):
            return self._park.agent(words)
        from bascule.drivers.hypervisors.factory import open_agent

        return open_agent(words, folder, which)

    @property
    def commands(self) -> Commands:
        """Return what runs commands of the operator, on this host."""
        from bascule.drivers.commands.host import HostCommands

        return HostCommands(self.settings)

    @cached_property
    def _park(self) -> FakePark:
        from bascule.drivers.hypervisors.fake.park import FakePark

        return FakePark(self.clock, self.ids)

    def point_servers(self, store: Sequence[str], open_vault: Callable[[], Vault]) -> Serving:
        """Serve recovered machines by processes of their own."""
        from .point_servers import PointServers

        return PointServers(store, open_vault)

    def tune_for_serving(self) -> None:
        """Set this process up for serving disks, if it does nothing else."""
        if self._owns_process:
            from .tuning import serve_disks

            serve_disks()

    def images(self) -> Images:
        """Open images of machines that are off."""
        from bascule.drivers.disks.images import QcowImages

        return QcowImages()

    def open_sink(self, words: str, size: int, *, existing: Existing = "refuse") -> DiskSink:
        """Open a disk to write."""
        from bascule.drivers.disks.factory import open_sink

        return open_sink(words, size, existing=existing)

    @property
    def credentials(self) -> Credentials:
        """Return what makes and proves keys of this host."""
        from bascule.drivers.pki.credentials import HostCredentials

        return HostCredentials()

    def vault_door(self, folder: Path, *, create: bool = False) -> AbstractContextManager[VaultDoor]:
        """Open what stands behind the door of the vault in a folder."""
        from . import door

        return door.opened(folder, self.clock, self.ids, create=create)

    def check_vaults(self, settings: ServerSettings) -> tuple[Check, ...]:
        """Look whether a server of vaults could run."""
        from .vault.parts import checks

        return checks(settings, self.clock, self.ids)

    def serve_vaults(
        self, settings: ServerSettings, stop: threading.Event, ready: Callable[[Opened], None]
    ) -> None:
        """Run a server of vaults, which tells more in the log than a command."""
        from . import logs
        from .vault.server import run

        logs.say_more(self.settings)
        self._hold_many_lines()
        run(settings, self.clock, self.ids, stop, ready)

    def serve_door(
        self, door: VaultDoor, listen: str, stop: threading.Event, ready: Callable[[str], None]
    ) -> None:
        """Keep a vault's door open."""
        from .door import run

        self._hold_many_lines()
        run(door, listen, self.clock, stop, ready)

    def _hold_many_lines(self) -> None:
        if self._owns_process:
            from .tuning import hold_many_lines

            hold_many_lines()
