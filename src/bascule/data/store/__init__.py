"""Recovery points on an object store: atomic, sealed, opened at any age at once."""

from importlib import import_module
from typing import TYPE_CHECKING

from .format.layers import Shape
from .format.opener import Opener
from .format.runs import BLOCK, Run
from .keys import KeyFile, KeyInfo, Passphrase, Unlocker
from .points import DiskInfo, DiskKey, DiskSpec, MachineInfo, MachineSpec, PointInfo
from .reader import Batch, DiskReader, PointReader
from .vault import Vault, key_list

if TYPE_CHECKING:
    from .cut import Cut, Tuning
    from .lane import DurableFrame, Lane
    from .parts import Gateway, PartKey, PartWriter
    from .writer import Claim, GroupWriter

FRAME = 4 * BLOCK

__all__ = [
    "BLOCK",
    "FRAME",
    "Batch",
    "Claim",
    "Cut",
    "DiskInfo",
    "DiskKey",
    "DiskReader",
    "DiskSpec",
    "DurableFrame",
    "Gateway",
    "GroupWriter",
    "KeyFile",
    "KeyInfo",
    "Lane",
    "MachineInfo",
    "MachineSpec",
    "Opener",
    "PartKey",
    "PartWriter",
    "Passphrase",
    "PointInfo",
    "PointReader",
    "Run",
    "Shape",
    "Tuning",
    "Unlocker",
    "Vault",
    "key_list",
]

_WRITING = {
    "Claim": "writer",
    "Cut": "cut",
    "DurableFrame": "lane",
    "Gateway": "parts",
    "GroupWriter": "writer",
    "Lane": "lane",
    "PartKey": "parts",
    "PartWriter": "parts",
    "Tuning": "cut",
}


def __getattr__(name: str) -> object:
    """Load what writes points when it is asked for: a machine waits for the start of who only reads them."""
    if name not in _WRITING:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f".{_WRITING[name]}", __name__), name)
