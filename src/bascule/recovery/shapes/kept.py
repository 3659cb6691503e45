"""What is asked of machines before they are recovered, kept on the host that will have them (R-FO-4).

It is kept for a group, whichever of its generations is failed over, until somebody clears it: for a failover,
and apart from it for a test, whose machines have the sizes of a failover where nothing else is said.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, replace

from bascule.data.instant.local.folder import LocalFolder
from bascule.model.errors import Damaged, Refused
from bascule.model.generations import family

from ..record import Records, put
from .asked import NOTHING, Asked, asked_in, fields_of
from .shape import Shape

TEST = "-test"
_FOLDER, _FILE = "shape", "shape"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a group."""

    failover: Asked = NOTHING
    test: Asked = NOTHING

    def shape(self, asked: Asked) -> Shape:
        """Return the shape of a failover for which ``asked`` is asked at the command."""
        return Shape((asked, self.failover))

    def test_shape(self, asked: Asked) -> Shape:
        """Return the shape of a test for which ``asked`` is asked at the command."""
        return Shape((asked, self.test, self.failover.sizes), suffix=TEST)


def kept(records: Records, group: str) -> Kept:
    """Return what is kept of a group."""
    path = records.beside(family(group), _FOLDER) / _FILE
    try:
        fields = json.loads(path.read_bytes())
        if fields["format"] != _FORMAT:
            raise Refused(f"{path} is of another format", cure="use the Bascule that wrote it")
        return Kept(asked_in(fields["failover"]), asked_in(fields["test"]))
    except FileNotFoundError:
        return Kept()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(
            f"{path} cannot be read: {error!r}",
            cure="`bascule replica shape STORE GROUP --clear`, and ask again",
        ) from error


def keep(records: Records, group: str, what: Kept) -> None:
    """Keep what is asked, durable on return and never half."""
    fields = {"format": _FORMAT, "failover": fields_of(what.failover), "test": fields_of(what.test)}
    put(records.beside(family(group), _FOLDER), _FILE, json.dumps(fields, indent=1))


def forget_kept(records: Records, group: str) -> None:
    """Keep nothing of a group any more; nothing to do if nothing is kept."""
    path = records.beside(family(group), _FOLDER) / _FILE
    if path.exists():
        with closing(LocalFolder(path.parent)) as folder:
            folder.remove(_FILE)
            folder.sync()


def forgotten(records: Records, group: str, *, for_test: bool) -> Kept:
    """Return what is left of what is kept if all of it is to be forgotten, or that for tests."""
    return replace(kept(records, group), test=NOTHING) if for_test else Kept()


def with_more(before: Kept, asked: Asked, *, for_test: bool) -> Kept:
    """Return what is to be kept if something is asked for failovers, or for tests."""
    if for_test:
        return replace(before, test=asked.over(before.test))
    return replace(before, failover=asked.over(before.failover))
