"""Who may do what (R-OP-3).

A role is held in one vault; the owner of the server has all vaults, and gives roles.
What is not named here for a role is not allowed to it: a new command is a Contributor's until somebody says
that it is part of failing over and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from .item import Command


class Role(StrEnum):
    """What somebody is in a vault."""

    CONTRIBUTOR = "contributor"
    OPERATOR = "operator"
    READER = "reader"


class Right(StrEnum):
    """What a call needs."""

    READ = "read"
    RUN = "fail over and back"
    CHANGE = "change"
    OWN = "own"


RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.READER: frozenset({Right.READ}),
    Role.OPERATOR: frozenset({Right.READ, Right.RUN}),
    Role.CONTRIBUTOR: frozenset({Right.READ, Right.RUN, Right.CHANGE}),
}

OF_OPERATORS = frozenset(
    {
        Command.TEST_FAIL_OVER,
        Command.CLEAN_UP,
        Command.FAIL_OVER,
        Command.CHANGE_POINT,
        Command.COMMIT,
        Command.CANCEL,
        Command.RESYNC,
        Command.PLANNED_FAIL_OVER,
        Command.REPROTECT,
        Command.FAIL_BACK,
    }
)


def right_for(command: Command) -> Right:
    """Return what giving a command needs."""
    return Right.RUN if command in OF_OPERATORS else Right.CHANGE


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose name was proven by whoever let them in."""

    name: str
    is_owner: bool = False


@dataclass(frozen=True, slots=True)
class Assignment:
    """The role of a person in a vault; ``id`` is the person's name."""

    vault: str
    id: str
    role: Role
