"""What the commands ask of the world. ``apps`` builds the real thing, so no command chooses a driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager

    from bascule.data.store import Vault
    from bascule.front.cli.door.behind import VaultDoor
    from bascule.front.cli.vault.settings import Opened, ServerSettings
    from bascule.model.machines import MachineDefinition
    from bascule.model.vault.signs.check import Check
    from bascule.ports.chance import Clock, Ids
    from bascule.ports.disks import DiskSink, DiskSource
    from bascule.ports.guests import Commands, GuestAgent
    from bascule.ports.hypervisors import Hypervisor
    from bascule.ports.images import Images
    from bascule.ports.machines import RunningMachine
    from bascule.ports.objects import ObjectStore
    from bascule.ports.serving import Serving
    from bascule.ports.vault.pki import Credentials

Existing = Literal["refuse", "replace", "update"]
"""What to do with a target that is there: refuse it, make it anew, or write into it as it is."""


class Tools(Protocol):
    """Everything that is not the same on every machine and in every test."""

    @property
    def clock(self) -> Clock: ...

    @property
    def ids(self) -> Ids: ...

    @property
    def settings(self) -> Mapping[str, str]:
        """Return the environment: credentials, endpoints, keys."""

    @property
    def who(self) -> str:
        """Return what to write into logs of the store as the writer's name."""

    @property
    def itself(self) -> Sequence[str]:
        """Return the words by which others run this command line."""

    def open_store(self, place: str, *, create: bool = False, direct_reads: bool = False) -> ObjectStore:
        """Open the place that a path or URL names."""

    def open_source(self, words: str) -> DiskSource:
        """Open a disk to read: a path or an NBD address, and what is asked of it behind a ``?``."""

    def open_machine(self, qmp: Path, folder: Path) -> RunningMachine:
        """Adopt the running machine behind a QMP socket; ``folder`` is room of our own."""

    def open_hypervisor(self, words: str) -> Hypervisor:
        """Open a host of machines: a path is a folder of QEMU machines."""

    def adopt(self, words: str, folder: Path) -> RunningMachine:
        """Adopt the running machine that words name: a QMP socket, ``HOST#NAME``, or ``fake:NAME``."""

    def definition(self, words: str) -> MachineDefinition | None:
        """Return what the machine is made of that words name, None where no host defined it."""

    def agent(self, words: str, folder: Path, which: str) -> GuestAgent | None:
        """Return the agent in the guest of a machine, not connected; None if there is no way to it.

        ``which`` is ``auto``, or the socket of its channel.
        """

    @property
    def commands(self) -> Commands:
        """Return what runs commands of the operator."""

    def open_sink(self, words: str, size: int, *, existing: Existing = "refuse") -> DiskSink:
        """Open a disk to write, making it if it is not there."""

    def point_servers(self, store: Sequence[str], open_vault: Callable[[], Vault]) -> Serving:
        """Serve recovered machines; ``store`` is how the command line names the store and its key."""

    def tune_for_serving(self) -> None:
        """Have this process serve disks as well as it can; it does nothing else from now on."""

    def images(self) -> Images:
        """Open images of machines that are off."""

    @property
    def credentials(self) -> Credentials:
        """Return what makes and proves keys of this host."""

    def vault_door(self, folder: Path, *, create: bool = False) -> AbstractContextManager[VaultDoor]:
        """Open what stands behind the door of the vault in a folder."""

    def check_vaults(self, settings: ServerSettings) -> tuple[Check, ...]:
        """Look whether a server of vaults could run as it is to."""

    def serve_vaults(
        self, settings: ServerSettings, stop: threading.Event, ready: Callable[[Opened], None]
    ) -> None:
        """Run a server of vaults until ``stop``; ``ready`` hears when everything is open."""

    def serve_door(
        self, door: VaultDoor, listen: str, stop: threading.Event, ready: Callable[[str], None]
    ) -> None:
        """Keep the door open at an address until ``stop``; ``ready`` hears which address that is."""
