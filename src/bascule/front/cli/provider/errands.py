"""What a vault may have a provider's host do beside wishes: the verbs, bound to the tools of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from bascule.front.cli.tools import Tools
from bascule.model.errors import Refused
from bascule.model.vault.commands import Command

from .changing import Sides
from .checking import complaints

if TYPE_CHECKING:
    from bascule.data.store import Vault
    from bascule.recovery.errands.verbs import Place
    from bascule.recovery.site import Site
    from bascule.replication.provider.folder import ProviderFolder
    from bascule.replication.uplink.errands import Headways

log = structlog.get_logger(__name__)


def verbs_of(
    tools: Tools, provider: ProviderFolder, host: str, replicas: Path, headways: Headways
) -> Mapping[str, Callable[[Command], str]]:
    """Return the verbs, each by its name."""
    from bascule.front.cli.replica.words import Where, site_at
    from bascule.recovery.errands.verbs import Place, verbs
    from bascule.replication.uplink.obeying import wished

    @contextmanager
    def open_at(place: Place, words: str) -> Iterator[Site]:
        if not words:
            raise Refused(
                "this host takes no machines over",
                cure="start its provider with --host, which names the host of machines",
                code="no-host",
            )
        where = Where(place.store, words, replicas, Path(place.key_file), None)
        with site_at(tools, where, tools.open_hypervisor(words), _say, headways.observer) as site:
            yield site

    sides = Sides(tools, provider, host, lambda command, words: open_at(Place.of(command), words))

    def check_source(command: Command) -> str:
        item = provider.item(command.group)
        wish = wished(item.wish(), command)
        found = complaints(tools, item, wish, is_new=item.stamp() is None)
        found.refuse()
        return ""

    return {
        "check-source": check_source,
        **sides.verbs(),
        **verbs(lambda place: open_at(place, host), tools.clock),
    }


def cramped(tools: Tools, replicas: Path) -> str:
    """Refuse a folder in which no recovered machine could be served; tell if only one with a short name can.

    Below it lies a socket for each machine, and a socket's address holds 107 bytes.
    """

    def closed() -> Vault:
        raise AssertionError("only names are asked for")

    serving = tools.point_servers((), closed)
    for group, machine in (_SHORT, _USUAL):
        try:
            serving.words(replicas.absolute() / group / "failover" / machine, "disk0")
        except Refused as error:
            message = f"{replicas} is too deep for the sockets of recovered machines: {error.message}"
            cure = "name a folder with a shorter path: --replicas FOLDER"
            if (group, machine) == _SHORT:
                raise Refused(message, cure=cure, code="path-too-long") from error
            return f"{message}. {cure[0].upper()}{cure[1:]}; machines with short names fit."
    return ""


# A vault calls an item by at most 24 characters, eight more and two dashes; behind that, a generation.
_SHORT, _USUAL = ("a-00000000~2", "a"), (f"{'a' * 24}-00000000~2", "a" * 16)


def _say(text: str) -> None:
    log.info("recovery.step_began", what=text)
