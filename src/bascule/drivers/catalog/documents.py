"""Nouns as JSON and back. A field that is not there has its default, so an older document can be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from bascule.model.errors import Damaged
from bascule.model.items import Headway
from bascule.model.vault.item import Command, Move, ProtectedItem, Protection, Resync, Side, TestFailover
from bascule.model.vault.job import Failure, Job, JobState, Task, TaskState
from bascule.model.vault.route import Route
from bascule.model.vault.signs.disk import Disk
from bascule.model.vault.vault import Vault

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

KNOWN_CHARACTERS = 4096
"""What has no more is read once. The watch and every list read all items and all that is wrong each time, and
little has changed: each is found by its whole document, so what was read before is what would be read now.
"""


def text_of(noun: DataclassInstance) -> str:
    """Return a noun as JSON."""
    return json.dumps(asdict(noun), sort_keys=True)


def noun_of(kind: Callable[..., T], text: str, parts: Mapping[str, Callable[[Any], Any]], name: str) -> T:
    """Return the noun that a document describes; ``parts`` make of some fields what JSON cannot say."""
    try:
        fields: dict[str, Any] = json.loads(text)
        return kind(**fields | {part: make(fields[part]) for part, make in parts.items()})
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(f"{name} in the catalog cannot be read: {error!r}") from error


def vault_of(name: str, text: str) -> Vault:
    """Return the vault of a name that a document describes; an older one says nothing."""
    try:
        return Vault(**{**json.loads(text), "name": name})
    except (ValueError, TypeError) as error:
        raise Damaged(f"a vault in the catalog cannot be read: {error!r}") from error


def item_of(text: str) -> ProtectedItem:
    """Return the item that a document describes."""
    return _known_item(text) if len(text) <= KNOWN_CHARACTERS else _item_of(text)


def _item_of(text: str) -> ProtectedItem:
    kinds = {"protection": Protection, "side": Side, "move": Move, "test": TestFailover, "resync": Resync}
    try:
        fields: dict[str, Any] = json.loads(text)
        fields |= {name: kind(fields[name]) for name, kind in kinds.items() if name in fields}
        route: dict[str, Any] = fields.get("route", {})
        chosen = tuple(route.get("disks", ()))
        disks = tuple(Disk(**disk) for disk in fields.get("disks", ()))
        return ProtectedItem(**fields | {"route": Route(**route | {"disks": chosen}), "disks": disks})
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(f"an item in the catalog cannot be read: {error!r}") from error


_known_item = lru_cache(maxsize=1 << 14)(_item_of)


def job_of(text: str) -> Job:
    """Return the job that a document describes."""
    try:
        fields: dict[str, Any] = json.loads(text)
        fields |= {"command": Command(fields["command"]), "state": JobState(fields["state"])}
        fields |= {"side": Side(fields.get("side", Side.PRIMARY))}
        tasks = tuple(_task(task) for task in fields.pop("tasks"))
        return Job(**fields | {"failure": _failure(fields["failure"]), "tasks": tasks})
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(f"a job in the catalog cannot be read: {error!r}") from error


def _task(fields: dict[str, Any]) -> Task:
    far = fields.get("headway")
    parts = {"state": TaskState(fields["state"]), "failure": _failure(fields["failure"])}
    return Task(**fields | parts | {"headway": Headway(**far) if far else None})


def _failure(fields: dict[str, Any] | None) -> Failure | None:
    return None if fields is None else Failure(**fields)
