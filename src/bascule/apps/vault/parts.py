"""The parts of a server that may be opened without running it, and whether they can be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from bascule.apps import door
from bascule.drivers.catalog.catalog import SqlCatalog
from bascule.drivers.pki.authority import FolderAuthority
from bascule.front.cli.door.behind import VaultDoor
from bascule.front.cli.vault.settings import ServerSettings
from bascule.model.vault.signs.check import Check, checked
from bascule.ports.chance import Clock, Ids

from . import folder
from .api_door import shown


def catalog(stack: ExitStack, settings: ServerSettings) -> SqlCatalog:
    """Open the catalog until the stack is closed; its tables are brought up to date."""
    file = settings.folder / "catalog.db"
    if not settings.postgres:
        file.touch(mode=0o600)  # and SQLite makes what is beside it as it finds this
    opened = SqlCatalog(settings.postgres or str(file))
    stack.callback(opened.close)
    return opened


def behind(stack: ExitStack, settings: ServerSettings, clock: Clock, ids: Ids) -> VaultDoor:
    """Open what stands behind the hosts' door until the stack is closed."""
    opened = door.opened(settings.folder, clock, ids, create=True, postgres=settings.postgres)
    return stack.enter_context(opened)


def vouching(opened: VaultDoor) -> str:
    """See that the authority vouches for the door, and renew that if it is time."""
    opened.authority.door()
    return "vouches for the door"


def checks(settings: ServerSettings, clock: Clock, ids: Ids) -> tuple[Check, ...]:
    """Look whether a server could run as it is to, without running one."""
    with ExitStack() as stack:

        def alone() -> str:
            stack.enter_context(folder.owned(settings.folder))
            return "none runs in the folder"

        def catalogued() -> str:
            with catalog(stack, settings).reading() as books:
                return f"{len(books.vaults.list())} vaults, {books.items.count()} items"

        looks: tuple[tuple[str, Callable[[], str]], ...] = (
            ("folder", lambda: folder.prepare(settings.folder)),
            ("no other server", alone),
            ("catalog", catalogued),
            ("authority", lambda: vouching(behind(stack, settings, clock, ids))),
            ("certificate", lambda: _shown(settings, clock, ids)),
            ("hosts' door", lambda: _free(settings.listen, "--listen")),
            ("API", lambda: _free(settings.api, "--api")),
            ("local port", lambda: _free(settings.local, "--local")),
        )
        found: list[Check] = []
        for what, look in looks:
            found.append(checked(what, look))
            if not all(one.is_met for one in found[:2]):
                break  # what is behind a folder that is not ours is not looked into
        return tuple(found)


def _shown(settings: ServerSettings, clock: Clock, ids: Ids) -> str:
    found = shown(settings, FolderAuthority(settings.folder / "pki", clock, ids), clock)
    return f"the API shows {found.certificate}"


def _free(address: str, option: str) -> str:
    with door.listening(address, option):
        return f"{address} is free"
