"""What a vault has a host do, what became of it, and what a host says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from bascule.model.errors import BasculeError, Damaged, Refused, Unavailable
from bascule.model.items import Headway

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
_TEXT_MAX = 2000


@dataclass(frozen=True, slots=True)
class Command:
    """Something that a host is to do. ``sequence`` counts the host's commands; ``id`` is never used twice."""

    sequence: int
    id: str
    verb: str
    group: str
    arguments: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command: heard and written down as a wish of this generation, carried out, or refused.

    ``value`` is what an errand found or made. ``is_passing`` says of what was not done that the same may go
    well another time.
    """

    sequence: int
    id: str
    is_done: bool
    generation: int = 0
    code: str = ""
    message: str = ""
    cure: str = ""
    value: str = ""
    is_passing: bool = False

    @classmethod
    def of(cls, command: Command, error: BasculeError | None, generation: int = 0, value: str = "") -> Result:
        """Return what became of a command."""
        if error is None:
            return cls(command.sequence, command.id, True, generation, value=value)
        message, cure = error.message[:_TEXT_MAX], error.cure[:_TEXT_MAX]
        is_passing = isinstance(error, Unavailable)
        return cls(command.sequence, command.id, False, 0, error.code, message, cure, is_passing=is_passing)

    def error(self) -> BasculeError:
        """Return what kept a command from being carried out."""
        kind = Unavailable if self.is_passing else Damaged if self.code == Damaged.code else Refused
        return kind(self.message, cure=self.cure, code=self.code)


@dataclass(frozen=True, slots=True)
class Report:
    """What has changed on a host since report ``since``; 0 means that this is all there is.

    ``groups`` holds the fields of each group's facts that changed; ``gone`` the groups that are not protected
    any more; ``machines`` all machines that the host has, as it calls them, and what it says of the disks of
    each, None if that is as it was; ``errands`` how far it is with commands that take their time, by
    their ids.
    """

    host: str
    number: int
    since: int
    groups: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    machines: Mapping[str, Json] | None = None
    errands: Mapping[str, Headway] = field(default_factory=dict)
