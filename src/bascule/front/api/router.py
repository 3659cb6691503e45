"""Finds the operation of a request. Words of paths are alike in whatever case; names in them are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .table.operations import Operation

_NAME = "{}"


@dataclass(slots=True)
class _Node:
    words: dict[str, _Node] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """An operation, and the names that its path was asked with."""

    operation: Operation
    names: Mapping[str, str]


class Router:
    """A tree of the words of paths."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._top = _Node()
        for operation in operations:
            node = self._top
            for word in _words(operation.path):
                node = node.words.setdefault(_NAME if word.startswith("{") else word.casefold(), _Node())
            node.operations[operation.method] = operation

    def find(self, method: str, path: str) -> Found | None:
        """Return the operation that a method and a path mean, if there is one."""
        words = _words(path)
        node = self._node(self._top, [word.casefold() for word in words])
        operation = node.operations.get(method) if node else None
        if operation is None:
            return None
        pairs = zip(_words(operation.path), words, strict=True)
        return Found(operation, {asked[1:-1]: word for asked, word in pairs if asked.startswith("{")})

    def _node(self, node: _Node, words: list[str]) -> _Node | None:
        for word in words:
            following = node.words.get(word) or node.words.get(_NAME)
            if following is None or not word:
                return None
            node = following
        return node


def _words(path: str) -> list[str]:
    return path.strip("/").split("/")
