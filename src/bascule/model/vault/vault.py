"""A vault: everything that an operator manages, apart from every other (R-W-1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bascule.model.errors import Refused

GROUP = "bascule"
"""The resource group of a vault that was made without naming one."""
LOCATION = "onpremises"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,49}")
_GROUP = re.compile(r"[A-Za-z0-9_().-]{0,89}[A-Za-z0-9_()-]")
_LOCATION = re.compile(r"[A-Za-z0-9 -]{1,64}")
_TAGS_MAX = 50
_TAG_MAX, _TAG_VALUE_MAX = 512, 256


@dataclass(frozen=True, slots=True)
class Vault:
    """A vault, by its name. Where it belongs and what is noted of it is for whoever manages many.

    The name is of the whole server, whatever the group: two groups have no vault of one name.
    """

    name: str
    group: str = GROUP
    location: str = LOCATION
    sku: str = "Standard"
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(_NAME, self.name, "the name of a vault", "2 to 50 letters, digits and hyphens, a letter first")
        _check(
            *(_GROUP, self.group, "the name of a resource group"),
            "1 to 90 letters, digits, hyphens, underscores, parentheses and dots, no dot last",
        )
        _check(_LOCATION, self.location, "a location", "1 to 64 letters, digits, hyphens and spaces")
        _check(re.compile(r"[A-Za-z0-9]{1,32}"), self.sku, "a SKU", "name Standard or RS0")
        too_long = [name for name in self.tags if not 0 < len(name) <= _TAG_MAX]
        too_long += [value for value in self.tags.values() if len(value) > _TAG_VALUE_MAX]
        if too_long or len(self.tags) > _TAGS_MAX:
            raise Refused(
                f"{self.name} cannot have these tags",
                cure=f"{_TAGS_MAX} at most, names of {_TAG_MAX} and values of {_TAG_VALUE_MAX} characters",
                code="bad-tags",
            )

    def is_in(self, group: str) -> bool:
        """Is the vault in a resource group? Names of groups are alike in whatever case."""
        return self.group.casefold() == group.casefold()


def _check(form: re.Pattern[str], word: str, what: str, cure: str) -> None:
    if not form.fullmatch(word):
        raise Refused(f"{word[:100]!r} cannot be {what}", cure=cure)
