"""Containers of a site's machines, and protection groups: a container with a policy and a target (R-W-9).

Each site has a container of its own name, which holds all its machines and is there as long as the site is.
More can be made, for machines that are to be put into other groups: they offer the same machines, and keep
apart what is protected in them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bascule.model.errors import Refused

from ..fabric import check_name

AZURE = "Microsoft Azure"
"""What clients call the other side where it is no site of theirs: whichever hosts take over."""
EVERYWHERE = "*"
"""Stands for all sites of a vault; no site can be called so."""


@dataclass(frozen=True, slots=True)
class Container:
    """Machines of a site; ``id`` is SITE/NAME."""

    vault: str
    id: str

    def __post_init__(self) -> None:
        check_name(self.fabric, "a fabric")
        check_name(self.name, "a container")

    @classmethod
    def own(cls, vault: str, fabric: str) -> Container:
        """Return the container that a site has from the start."""
        return cls(vault, f"{fabric}/{fabric}")

    @property
    def fabric(self) -> str:
        """The site."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """What it is called in its site."""
        return self.id.partition("/")[2]

    @property
    def is_own(self) -> bool:
        """Is it the one that the site has from the start?"""
        return self.fabric == self.name


@dataclass(frozen=True, slots=True)
class Target:
    """Which host takes machines over, and what both hosts call the place of points and its key.

    What is empty is said elsewhere: a group's words come before its site's, and those before the vault's.
    """

    host: str = ""
    store: str = ""
    key_file: str = ""

    def over(self, other: Target) -> Target:
        """Return these words, and the other's where nothing is said."""
        # A key opens one store, so the two are said together or not at all.
        place = self if self.store or self.key_file else other
        return Target(self.host or other.host, place.store, place.key_file)

    def check(self) -> None:
        """Refuse a store without its key, and a key without its store."""
        if bool(self.store) != bool(self.key_file):
            raise Refused(
                "a store and the file of its key go together",
                cure="name both, or neither",
                code="incomplete",
            )


NOBODY = Target()


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """What holds for groups of a site that say nothing of it; ``id`` is the site, ``*`` for all of them."""

    vault: str
    id: str
    target: Target = NOBODY


@dataclass(frozen=True, slots=True)
class ContainerMapping:
    """A protection group; ``id`` is SITE/CONTAINER/NAME.

    ``leads_to`` is the container, as SITE/NAME, of whose site the host has to be that takes over, or
    *Microsoft Azure* for whichever host it is.
    """

    vault: str
    id: str
    policy: str
    leads_to: str = AZURE
    target: Target = NOBODY

    def __post_init__(self) -> None:
        check_name(self.name, "a container mapping")

    @property
    def container(self) -> str:
        """The id of the container whose machines are put into it."""
        return self.id.rpartition("/")[0]

    @property
    def name(self) -> str:
        """What it is called in its container."""
        return self.id.rpartition("/")[2]

    def aimed(self, target: Target) -> ContainerMapping:
        """Return the group with what is said of the target in place of what was."""
        return replace(self, target=target.over(self.target))
