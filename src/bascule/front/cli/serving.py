"""Serve a point from the command line.

A machine waits for this to start, and typer alone would take longer than opening a
point does. So nothing here needs it, and ``understand`` reads plain command lines
without it; all others, and ``--help``, go the usual way and end here too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bascule.model.errors import Refused
from bascule.wire.nbd.address import Address

from .printing.screen import Screen
from .stopping import on_stop, throttle_of, wait_for
from .tools import Tools
from .words.listening import address_of, tls_of
from .words.naming import PointName
from .words.unlocking import KeyOptions, opened

if TYPE_CHECKING:
    from bascule.data.instant.overlay import GuestSince
    from bascule.data.instant.server import DiskStatus, PointServer, Status
    from bascule.data.store import PointReader, Vault
    from bascule.wire.nbd.session import ServerTls

_LOOK_SECONDS = 0.5


class Order(NamedTuple):
    """The words of ``bascule serve-point``; each field but the first two is the option of its name."""

    store: str
    point: str
    machine: str = ""
    socket: Path | None = None
    listen: str = ""
    tls_certificates: Path | None = None
    plain: bool = False
    folder: Path | None = None
    writable: bool = False
    hydrate: bool = False
    limit: str = ""
    guest_was_reset: bool = False
    discard: bool = False
    no_pin: bool = False
    key_file: Path | None = None
    passphrase_file: Path | None = None
    json: bool = False


def understand(words: Sequence[str]) -> Order | None:
    """Read what follows ``serve-point`` if it is plain: known options, a store and a point. Else None."""
    options = {"--" + name.replace("_", "-"): name for name in Order._fields[2:]}
    given: dict[str, Any] = {}
    places: list[str] = []
    rest = iter(words)
    for word in rest:
        if (name := options.get(word)) is None:
            places.append(word)
        elif Order._field_defaults[name] is False:
            given[name] = True
        elif not (value := next(rest, "")):
            return None
        else:
            given[name] = value if Order._field_defaults[name] == "" else Path(value)
    if len(places) != 2 or any(place.startswith("-") for place in places):
        return None
    store, point = places
    return Order(store, point, **given)


def serve(tools: Tools, order: Order) -> None:
    """Serve until a signal, or throw a folder away."""
    screen, name = Screen(is_json=order.json), PointName.parse(order.point)
    keys = KeyOptions(order.key_file, order.passphrase_file)
    with _vault_when_needed(tools, order.store, keys) as open_vault:
        if order.discard:
            _throw_away(screen, open_vault, order.folder)
            return
        if order.no_pin and order.folder is not None:
            raise Refused(
                "a folder outlives this process, and needs a pin", cure="choose --folder or --no-pin"
            )
        with name.sought(), address_of(order.socket, order.listen) as address:
            tls = tls_of(order.tls_certificates, address, plain=order.plain)
            _run(tools, screen, _server(tools, order, open_vault, address, tls))


def _server(
    tools: Tools, order: Order, open_vault: Callable[[], Vault], address: Address, tls: ServerTls | None
) -> PointServer:
    """Make the server; a folder that was served before knows its machine."""
    from bascule.data.instant.holding import Wanted
    from bascule.data.instant.server import PointServer, Terms

    point = PointName.parse(order.point)
    if order.folder is not None:
        order.folder.mkdir(parents=True, exist_ok=True)
    machine = order.machine or _machine_in(order.folder) or _only_machine(open_vault(), point)
    guest = _reset_guest() if order.guest_was_reset else None
    pace = throttle_of(tools.clock, order.limit)
    terms = Terms(address, tls, writable=order.writable, hydrate=order.hydrate, pace=pace, guest=guest)
    open_points = (lambda: _Unpinned(open_vault())) if order.no_pin else open_vault
    return PointServer(open_points, Wanted(*point, machine), terms, tools.clock, order.folder)


def _reset_guest() -> GuestSince:
    from bascule.data.instant.overlay import GuestSince

    return GuestSince.RESET


class _Unpinned:
    """A vault whose points are opened without leaving a note in the store."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.new_pin_id, self.hold = vault.new_pin_id, vault.hold
        self.reopen, self.release = vault.reopen, vault.release

    def point(self, group: str, number: int | None = None, *, purpose: str = "") -> PointReader:
        del purpose  # written into the note that is not left
        return self._vault.peek(group, number)


@contextmanager
def _vault_when_needed(tools: Tools, store: str, keys: KeyOptions) -> Iterator[Callable[[], Vault]]:
    """Yield what opens the vault once: a machine that is wholly local is served without its store."""
    with ExitStack() as open_things:
        vaults: list[Vault] = []

        def open_vault() -> Vault:
            if not vaults:
                vaults.append(open_things.enter_context(opened(tools, store, keys))[0])
            return vaults[0]

        yield open_vault


def _machine_in(folder: Path | None) -> str:
    """Return the machine that a folder was served for, empty for none; needs no store."""
    if folder is None:
        return ""
    from bascule.data.instant.local.folder import LocalFolder
    from bascule.data.instant.state import load

    with closing(LocalFolder(folder)) as local:
        served = load(local)
    return served.machine if served else ""


def _only_machine(vault: Vault, point: PointName) -> str:
    with vault.peek(*point) as reader:
        machines = [machine.id for machine in reader.info.machines]
    if len(machines) != 1:
        raise Refused(
            f"the point holds {len(machines)} machines: {', '.join(machines)}",
            cure="choose one with --machine",
        )
    return machines[0]


def _run(tools: Tools, screen: Screen, server: PointServer) -> None:
    """Serve until a signal; tell of the hydration meanwhile."""
    stop = threading.Event()
    with on_stop(stop.set):
        tools.tune_for_serving()
        server.start()
        try:
            _announce(screen, server.status)
            _watch(tools, screen, server, stop)
        finally:
            status = server.status
            server.stop()
    written = sum(disk.written_bytes for disk in status.disks)
    screen.event("stopped", {"written_bytes": written}, ["Stopped in order."])


def _watch(tools: Tools, screen: Screen, server: PointServer, stop: threading.Event) -> None:
    """Show the hydration until it ends, then wait in silence."""
    if any(disk.hydration for disk in server.status.disks):
        _watch_hydration(tools, screen, server, stop)
        if not stop.is_set():
            _tell_hydrated(screen, server.status)
    wait_for(stop)


def _watch_hydration(tools: Tools, screen: Screen, server: PointServer, stop: threading.Event) -> None:
    from bascule.data.pipeline.flow.progress import Meter

    with screen.progress("hydrate") as observer:
        meter, total, done = Meter(tools.clock, observer), 0, 0
        while not _is_over(server.status) and not stop.wait(_LOOK_SECONDS):
            now_total, now_done = _hydrated(server.status)
            meter.expect(now_total - total)
            meter.add(now_done - done)
            total, done = now_total, now_done


def _is_over(status: Status) -> bool:
    return all(
        disk.hydration.state.value not in ("waiting", "running") for disk in status.disks if disk.hydration
    )


def _hydrated(status: Status) -> tuple[int, int]:
    found = [disk.hydration for disk in status.disks if disk.hydration]
    return sum(each.total_bytes or 0 for each in found), sum(each.done_bytes for each in found)


def _tell_hydrated(screen: Screen, status: Status) -> None:
    states = {disk.id: disk.hydration.state.value for disk in status.disks if disk.hydration}
    errors = {
        disk.id: disk.hydration.error for disk in status.disks if disk.hydration and disk.hydration.error
    }
    lines = [f"{disk}: hydration {state}. {errors.get(disk, '')}".rstrip() for disk, state in states.items()]
    screen.event("hydrated", {"disks": states, "errors": errors}, lines)


def _announce(screen: Screen, status: Status) -> None:
    from .words.quantities import bytes_text

    document = {
        "group": status.group,
        "number": status.number,
        "machine": status.machine,
        "disks": [
            {"id": disk.id, "size_bytes": disk.size_bytes, "uri": _uri(status, disk)} for disk in status.disks
        ],
    }
    lines = [f"{_uri(status, disk)}  {bytes_text(disk.size_bytes)}" for disk in status.disks]
    point = f"{status.group}/{status.number}"
    screen.event("serving", document, [f"Serving {status.machine} at {point}, until Ctrl-C:", *lines])


def _uri(status: Status, disk: DiskStatus) -> str:
    return str(replace(status.address, export=disk.id))


def _throw_away(screen: Screen, open_vault: Callable[[], Vault], folder: Path | None) -> None:
    from bascule.data.instant.server import throw_away

    if folder is None or not folder.is_dir():
        raise Refused("there is no folder to throw away", cure="name it: --folder FOLDER")
    throw_away(open_vault, folder)
    screen.show({"discarded": str(folder)}, [f"Threw {folder} away."])
