"""Recovery points on an object store: atomic, sealed, opened at any age at once."""

from .cut import Cut, Tuning
from .format.layers import Shape
from .format.opener import Opener
from .format.runs import BLOCK, Run
from .keys import KeyFile, KeyInfo, Passphrase, Unlocker
from .lane import DiskKey, DurableFrame, Lane
from .parts import Gateway, PartKey, PartWriter
from .points import DiskInfo, DiskSpec, MachineInfo, MachineSpec, PointInfo
from .reader import Batch, DiskReader, PointReader
from .vault import Vault, key_list
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
