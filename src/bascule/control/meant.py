"""What a person means by a word: an id, or a name that only one thing in the vault has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from bascule.model.errors import Missing, Refused
from bascule.model.vault.fabric import Server
from bascule.model.vault.item import ProtectedItem
from bascule.model.vault.route import Route
from bascule.ports.catalog import Books

Named = TypeVar("Named", ProtectedItem, Server)


def item(books: Books, vault: str, words: str) -> ProtectedItem:
    """Return the item of an id or a name, or raise Missing."""
    try:
        return books.items.get(vault, words)
    except Missing:
        found = _named(books.items.list(vault), words)
        if found is None:
            raise
        return found


def server(books: Books, vault: str, words: str) -> Server:
    """Return the host of an id or a name, or raise Missing."""
    try:
        return books.servers.get(vault, words)
    except Missing:
        found = _named(books.servers.list(vault), words)
        if found is None:
            raise
        return found


def route(books: Books, vault: str, words: Route) -> Route:
    """Return a route with hosts by their ids and the machine as its host calls it."""
    source, recovery = server(books, vault, words.source), server(books, vault, words.recovery)
    machine = _machine(books, vault, source, words.machine)
    return replace(words, source=source.id, recovery=recovery.id, machine=machine)


def _machine(books: Books, vault: str, source: Server, words: str) -> str:
    """Return the machine of that name, where its host said which it has.

    Others it may have too: running ones that nobody defined there, by their sockets. It knows, and looks.
    """
    said = [one.machine for one in books.protectable.list(vault) if one.server == source.id]
    if not said or words in said or any(mark in words for mark in "#/:"):
        return words
    found = [machine for machine in said if machine.rpartition("#")[2] == words]
    if len(found) != 1:
        why = f"has no machine {words}" if not found else f"has several machines {words}"
        raise Refused(
            f"host {source.name} {why}", cure=f"it has {', '.join(said)[:300]}", code="unknown-machine"
        )
    return found[0]


def _named(known: Sequence[Named], words: str) -> Named | None:
    found = [one for one in known if one.name == words]
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        raise Refused(f"{words} is the name of {ids}", cure="name one by its id", code="ambiguous")
    return found[0] if found else None
