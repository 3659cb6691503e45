"""A desk beside a provider that runs as a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.waiting import wait_until
from tests.front.cli.conftest import Desk, Done, desk

__all__ = ["desk"]


@dataclass
class Office:
    """A desk with a store, and a provider that is started and killed."""

    desk: Desk
    process: subprocess.Popen[str] | None = field(default=None)

    @property
    def folder(self) -> Path:
        return self.desk.path("provider")

    def start(self, *options: str) -> None:
        self.process = self.desk.start("provider", "run", self.folder, *options)
        wait_until(lambda: self.status()["provider"]["is_running"])

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def protect(self, machine: str, group: str, *options: str) -> Done:
        words = ["protect", machine, self.desk.store, "--group", group, "--folder", self.folder]
        return self.desk.ok(*words, "--every", "1s", *options)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.desk.ok("status", "--folder", self.folder, "--json").document
        return found

    def group(self, name: str = "web") -> dict[str, Any]:
        (found,) = [group for group in self.status()["groups"] if group["group"] == name]
        return dict(found)


@pytest.fixture
def office(desk: Desk) -> Iterator[Office]:
    desk.init()
    made = Office(desk)
    yield made
    made.end()
