"""A desk to type commands at: real drivers, a folder of its own, and the answers in parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bascule.apps.command_line import run
from bascule.apps.tools import SystemTools

MIB = 1 << 20


@dataclass(frozen=True)
class Done:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, str]:
        return json.loads(self.err.splitlines()[-1])["error"]


@dataclass(frozen=True)
class Desk:
    """Runs commands in a folder, with the key named by the environment."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    @property
    def settings(self) -> dict[str, str]:
        return {"BASCULE_KEY_FILE": str(self.folder / "main.key"), "HOME": str(self.folder)}

    @property
    def store(self) -> str:
        return str(self.folder / "store")

    def path(self, name: str) -> Path:
        return self.folder / name

    def run(self, *words: str | Path, settings: dict[str, str] | None = None) -> Done:
        """Run a command in this process: quick, and all but the signals is as in one of its own."""
        self.capture.readouterr()
        code = run(
            [str(word) for word in words], SystemTools(self.settings if settings is None else settings)
        )
        out, err = self.capture.readouterr()
        return Done(code, out, err)

    def ok(self, *words: str | Path, settings: dict[str, str] | None = None) -> Done:
        """Run a command that must succeed."""
        done = self.run(*words, settings=settings)
        assert done.code == 0, done.err
        return done

    @staticmethod
    def command(words: Sequence[str | Path]) -> list[str]:
        return [sys.executable, "-c", "from bascule.apps.command_line import main; main()", *map(str, words)]

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Start a command as a process, to be read from and signalled."""
        return subprocess.Popen(
            self.command(words),
            env=os.environ | self.settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def init(self) -> None:
        """Make a key and a store."""
        self.ok("key", "create", self.path("main.key"))
        self.ok("store", "init", self.store)

    def image(self, name: str, *pieces: tuple[int, bytes], size: int = 3 * MIB) -> Path:
        """Make a sparse disk with some bytes in it."""
        path = self.path(name)
        with path.open("wb") as stream:
            stream.truncate(size)
            for offset, data in pieces:
                stream.seek(offset)
                stream.write(data)
        return path


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


@pytest.fixture
def stocked(desk: Desk) -> Desk:
    """A desk with a store, in it group ``web`` with one point of ``web.raw``."""
    desk.init()
    image = desk.image("web.raw", (0, b"boot" * 4096), (MIB, os.urandom(MIB)))
    desk.ok("copy", image, desk.store)
    return desk
