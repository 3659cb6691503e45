"""What a verification finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bascule.blocks.extents import Extent
from bascule.data.store import keys
from bascule.data.store.access import Access
from bascule.data.store.format import names
from bascule.data.store.format.plain import read_format
from bascule.data.store.parts import read_part
from bascule.data.store.points import DiskKey
from bascule.model.errors import Damaged, Missing, Refused


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong; where it hurts a disk, ``point`` and ``disk``, and the ranges that cannot be read.

    Without a disk all of the point is hurt; without a point it says what is wrong with the store,
    and other findings say which points that hurts.
    """

    what: str
    group: str = ""
    point: int | None = None
    disk: DiskKey | None = None
    ranges: tuple[Extent, ...] = ()


def beside_the_points(access: Access) -> Iterator[Finding]:
    """Yield what is wrong with objects that no point needs: the format, keys, and parts that wait."""
    vault = access.sealer.vault
    try:
        if read_format(access.objects) != vault:
            yield Finding(f"object {names.FORMAT} names another vault than its points do")
    except (Damaged, Refused) as error:
        yield Finding(f"the vault cannot be opened any more: {error}")
    for key in keys.listed(access.objects, vault):
        if key.kind == keys.DAMAGED:
            yield Finding(f"key object {key.id} opens nothing: {key.label}")
    for info in access.objects.list(names.PARTS):
        try:
            read_part(access, info.name)
        except Missing:
            continue  # taken in and swept since it was listed
        except Damaged as error:
            yield Finding(f"part {info.name}: {error}")
