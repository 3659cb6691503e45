"""Names and ids of resources: what paths and bodies name, found whatever its case, and what answers name.

A server has one subscription. A vault is in one resource group, and is found there only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from bascule.model.errors import Missing

from .asking import Ask
from .errors import TurnedAway

T = TypeVar("T")

TYPE = "Microsoft.RecoveryServices/vaults"
KIND = "HyperVReplicaAzure"
"""What Azure calls the way in which machines of our sites are replicated."""
_ID = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft.RecoveryServices/vaults/([^/]+)/(.+)",
    re.IGNORECASE,
)


def vault_id(subscription: str, group: str, vault: str) -> str:
    """Return the id of a vault."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{TYPE}/{vault}"


def named(values: Iterable[T], name: str, of: Callable[[T], str], what: str) -> T:
    """Return the value of a name, in whatever case it is written, or raise Missing."""
    wanted = name.casefold()
    found = next((value for value in values if of(value).casefold() == wanted), None)
    if found is None:
        raise Missing(f"there is no {what} {name}", cure=f"list what {what}s there are")
    return found


def resource(home: str, words: str, kind: str, properties: Mapping[str, object]) -> Mapping[str, object]:
    """Return a resource of the vault of an id: its own id, from the words behind that, and its properties."""
    return {
        **{"id": f"{home}/{words}", "name": words.rpartition("/")[2]},
        **{"type": f"{TYPE}/{kind}", "properties": dict(properties)},
    }


def meant(ask: Ask, id: str, kind: str) -> str:
    """Return the name at the end of an id that a body gives, which has to be of this very vault."""
    found = _ID.fullmatch(id)
    if found is None:
        raise TurnedAway(f"{id[:200]!r} is no id of a resource", cure=f"give the id of one of {kind}")
    *place, rest = found.groups()
    words = rest.split("/")
    ours = (ask.desks.identity.server, ask.names["group"], ask.vault)
    if [one.casefold() for one in place] != [one.casefold() for one in ours]:
        raise TurnedAway(f"{id[:200]!r} is not of this vault", cure="give an id of this vault")
    if len(words) % 2 or words[-2].casefold() != kind.casefold():
        raise TurnedAway(f"{id[:200]!r} is none of {kind}", cure=f"give the id of one of {kind}")
    return words[-1]
