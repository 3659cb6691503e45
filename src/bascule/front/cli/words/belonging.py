"""What a machine is told of the group that it belongs to, and what is asked of the store before it starts."""

from __future__ import annotations

from pathlib import Path

from bascule.front.cli.tools import Tools
from bascule.front.cli.words.unlocking import KeyOptions, opened
from bascule.model.belonging import Belonging, read
from bascule.model.errors import BasculeError, Refused
from bascule.ports.hypervisors import Hypervisor


def belonging_of(
    tools: Tools, store: str, key_file: Path | None, passphrase_file: Path | None, group: str = ""
) -> Belonging:
    """Return what machines are marked with: paths are whole, for another command runs elsewhere."""
    key = key_file or (None if passphrase_file else tools.settings.get("BASCULE_KEY_FILE"))
    place = store if "://" in store else _whole(store)
    return Belonging(place, group, _whole(key), _whole(passphrase_file))


def _whole(path: Path | str | None) -> str:
    return str(Path(path).absolute()) if path else ""


def must_be_here(tools: Tools, host: Hypervisor, name: str) -> None:
    """Refuse to start a machine by hand whose group has gone to another side (R-FO-7).

    Raises Unavailable where the store does not answer: then nobody knows.
    """
    if text := host.marked(name):
        must_be_home(tools, name, text)


def must_be_home(tools: Tools, name: str, text: str) -> None:
    """Refuse, or raise Unavailable, as ``must_be_here`` does, by the text that a machine is marked with."""
    known = read(text)
    from bascule.recovery.generations import is_handed_over, lineage

    keys = KeyOptions(_path(known.key_file), _path(known.passphrase_file))
    try:
        with opened(tools, known.store, keys) as (vault, _):
            if known.group not in vault.groups():
                return  # nothing of it was ever published, so nobody can have taken it over
            newest = lineage(vault, known.group).newest
            is_left = newest == known.group and is_handed_over(vault, newest)
    except BasculeError as error:
        raise type(error)(
            f"{name} belongs to group {known.group}, and whether it is still its turn here cannot be asked:"
            f" {error.message}",
            cure=f"{error.cure}; or, if it surely runs nowhere else: --force".removeprefix("; or, "),
            code=error.code,
        ) from error
    if newest != known.group:
        raise Refused(
            f"{name} went over to another side: it was written to {known.group} here, and is to {newest} now",
            cure=f"bring it home: `bascule replica fail-back {known.store} {known.group}`;"
            f" or, if it surely runs nowhere: --force, and what it writes is no part of {newest}",
            code="elsewhere",
        )
    if is_left:
        raise Refused(
            f"{name} was handed over: the other side counts on it that {known.group} has nothing to add",
            cure="take it over there; or take it back here with --force, while nobody does",
            code="handed-over",
        )


def take_back(tools: Tools, host: Hypervisor, name: str) -> None:
    """Say in a group's log that a machine which was handed over runs here again, if that can be said."""
    text = host.marked(name)
    if not text:
        return
    known = read(text)
    from bascule.recovery.generations import give_back, is_handed_over, lineage

    with opened(tools, known.store, KeyOptions(_path(known.key_file), _path(known.passphrase_file))) as (
        vault,
        _,
    ):
        if lineage(vault, known.group).newest == known.group and is_handed_over(vault, known.group):
            give_back(vault, known.group, tools.who)


def _path(text: str) -> Path | None:
    return Path(text) if text else None
