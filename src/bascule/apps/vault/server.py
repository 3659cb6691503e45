"""A server of vaults, from nothing to running, in this order: folder, catalog, authority, jobs, doors.

So who comes to a door finds everything behind it; and it stops in the opposite order. A kill at any moment
leaves a folder that the next one starts from: each part settles its own affairs when it is opened.
"""

from __future__ import annotations

import pwd
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import structlog

from bascule.apps import door
from bascule.control.service.sides.fabrics import Entrance
from bascule.control.watch.alerting import Alerting
from bascule.control.watch.following import Following
from bascule.control.watch.keeping import Keeping
from bascule.control.watch.watch import Watch
from bascule.drivers.alarms.alarms import SystemAlarms
from bascule.drivers.alarms.mail import Relay
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.front.cli.door.behind import VaultDoor
from bascule.front.cli.vault.settings import SOCKET, Opened, ServerSettings
from bascule.front.local import listener
from bascule.front.local.calls import answer
from bascule.front.local.desk import Pages, page
from bascule.model.errors import Unavailable
from bascule.model.vault.signs.check import Check, checked
from bascule.ports.chance import Clock, Ids
from bascule.wire.control.invitation import address_parts

from . import engine, folder, parts
from .api_door import ApiDoor
from .figures import Figures
from .hosts_door import HostsDoor

log = structlog.get_logger("apps.vault")
_LOOK_SECONDS = 0.2
_SETTLE_SECONDS = 5.0
_EVERYWHERE = ("0.0.0.0", "::")
Ready = Callable[[Opened], None]


def run(settings: ServerSettings, clock: Clock, ids: Ids, stop: threading.Event, ready: Ready) -> None:
    """Run a server until ``stop``; ``ready`` hears when everything is open."""
    with ExitStack() as stack:
        stack.callback(log.info, "vault.stopped")
        catalog, behind = _opened(stack, settings, clock, ids)
        hosts = HostsDoor(behind, settings.listen, clock)
        entrance = Entrance(behind.hosts, behind.authority, partial(_addresses, settings, hosts))
        machine = stack.enter_context(engine.running(catalog, entrance, behind.postings, clock, ids))
        hosts.tell = machine.jobs.hear
        watch = Watch(catalog, behind.hosts, clock)
        stack.enter_context(_beside("watch", watch.run))
        stack.enter_context(_beside("policies", Following(catalog, machine.jobs).run))
        alarms = SystemAlarms(Relay(*settings.mail))
        stack.enter_context(_beside("alerts", Alerting(catalog, alarms, clock, machine.node).run))
        api = ApiDoor(settings, behind.authority, clock)
        figures = Figures(machine, behind.hosts, clock)
        pages = Pages(partial(_health, machine, hosts, api, watch, behind), figures.all)
        local = listener.LocalServer(door.listening(settings.local, "--local"), partial(page, pages))
        owner = listener.LocalServer(
            listener.named(settings.folder / SOCKET),
            partial(page, pages),
            partial(answer, machine.service, _user),
        )
        for server in (local, owner):
            server.start()
            stack.callback(server.close)
        stack.enter_context(hosts.open())
        stack.enter_context(api.open(machine.service, ids))
        at = "{}:{}".format(*local.socket.getsockname()[:2])
        log.info("vault.opened", node=machine.node, door=hosts.address, local=at, api=api.base)
        ready(Opened(hosts.address, at, behind.authority.vault, api.base, api.files.fingerprint, api.first))
        _wait(stop, hosts, api, machine, Keeping(catalog, machine.jobs, behind.hosts, clock))
        log.info("vault.stopping", node=machine.node)


def _opened(
    stack: ExitStack, settings: ServerSettings, clock: Clock, ids: Ids
) -> tuple[SqlCatalog, VaultDoor]:
    folder.prepare(settings.folder)
    stack.enter_context(folder.owned(settings.folder))
    return parts.catalog(stack, settings), parts.behind(stack, settings, clock, ids)


def _addresses(settings: ServerSettings, hosts: HostsDoor) -> tuple[str, ...]:
    """Return where hosts are told to find the door."""
    if settings.addresses:
        return settings.addresses
    host, number = address_parts(hosts.address)
    return (f"{socket.gethostname()}:{number}",) if host in _EVERYWHERE else (hosts.address,)


@contextmanager
def _beside(name: str, run: Callable[[threading.Event], None]) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=run, args=(over,), name=name)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _wait(
    stop: threading.Event, hosts: HostsDoor, api: ApiDoor, machine: engine.Engine, keeping: Keeping
) -> None:
    """Wait in slices, for Python hears a signal in its main thread only while that runs."""
    waited = 0.0
    while not stop.wait(_LOOK_SECONDS):
        hosts.check()
        api.check()
        waited += _LOOK_SECONDS
        if waited >= _SETTLE_SECONDS:
            waited = 0.0
            keeping.tidy()
            try:
                machine.service.gate.settle()
            except Unavailable as error:
                log.warning("vault.catalog_waited_for", error=str(error))


def _health(
    machine: engine.Engine, hosts: HostsDoor, api: ApiDoor, watch: Watch, behind: VaultDoor
) -> tuple[Check, ...]:
    def catalog() -> str:
        with machine.catalog.reading() as books:
            return f"{len(books.vaults.list())} vaults"

    return (
        checked("catalog", catalog),
        checked("jobs", machine.runner.check),
        checked("door", hosts.check),
        checked("api", api.check),
        checked("certificate", api.vouched),
        checked("watch", watch.check),
        checked("authority", lambda: parts.vouching(behind)),
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
