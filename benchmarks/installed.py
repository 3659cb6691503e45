"""Ours as somebody has it who installed it: with its bytecode, which pip makes and a checkout may lack."""

from __future__ import annotations

import compileall
from pathlib import Path

import bascule


def compiled() -> None:
    """Make the bytecode that is missing or older than its source; a start without took twice as long."""
    compileall.compile_dir(Path(bascule.__file__).parent, quiet=1)
