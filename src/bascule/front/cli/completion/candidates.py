"""What an unfinished word may become: from the commands themselves, and names from a server."""

from __future__ import annotations

from collections.abc import Sequence

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from bascule.front.cli.app import AT_A_SERVER, WORDS, command
from bascule.front.cli.tools import Tools

from .names import names


def candidates(tools: Tools, words: Sequence[str]) -> list[str]:
    """Return what the last of some words may become, which may be empty."""
    *before, last = words
    if not before:
        return [word for word in WORDS if word.startswith(last)]
    if before[0] not in WORDS:
        return []
    found, rest = command(before[0]), list(before[1:])
    if isinstance(found, TyperGroup):
        if not rest:
            return [word for word in found.commands if word.startswith(last)]
        verb = found.commands.get(rest.pop(0))
        if not isinstance(verb, TyperCommand):
            return []
        found = verb
    if last.startswith("-"):
        return [word for one in found.params for word in one.opts if word.startswith(last)]
    kind = _kind(found, rest)
    if before[0] not in AT_A_SERVER or not kind:
        return []
    return [name for name in names(tools, kind, before) if name.startswith(last)]


def _kind(found: TyperCommand, rest: Sequence[str]) -> str:
    """Return what the next word stands for, in the words of ``--help``."""
    options = {word: one for one in found.params if isinstance(one, TyperOption) for word in one.opts}
    if rest and rest[-1] in options and not options[rest[-1]].is_flag:
        return options[rest[-1]].metavar or ""
    places = [one for one in found.params if isinstance(one, TyperArgument)]
    given, words = 0, iter(rest)
    for word in words:
        if word.startswith("-"):
            if word in options and not options[word].is_flag:
                next(words, None)
        else:
            given += 1
    return (places[given].metavar or "") if given < len(places) else ""
