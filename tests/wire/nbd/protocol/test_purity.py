from __future__ import annotations

import ast
from pathlib import Path

import bascule.wire.nbd.protocol

OUTSIDE = {"asyncio", "os", "select", "selectors", "socket", "ssl", "threading", "time"}


def test_the_protocol_knows_no_socket_thread_or_clock() -> None:
    (folder,) = map(Path, bascule.wire.nbd.protocol.__path__)
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert not {name.name for name in node.names} & OUTSIDE, file
            elif isinstance(node, ast.ImportFrom):
                assert node.module not in OUTSIDE, file
