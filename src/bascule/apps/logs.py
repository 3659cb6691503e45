"""Where logs go: to standard error, warnings and worse; BASCULE_LOG=info or debug says more.

structlog loads at the first word that is logged, which mostly never comes: loading it
takes as long as opening a recovery point does.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from threading import Lock
from types import ModuleType
from typing import Any

_NAME = "structlog"
_loading = Lock()


def install(settings: Mapping[str, str]) -> None:
    """Set logs up for a process that a person started."""
    if _NAME not in sys.modules:
        sys.modules[_NAME] = _Later(settings.get("BASCULE_LOG", ""))


def say_more(settings: Mapping[str, str]) -> None:
    """Log what happens as well, as a server does, unless the settings say which level."""
    found = sys.modules.get(_NAME)
    if isinstance(found, _Later) and not settings.get("BASCULE_LOG"):
        found.level = "info"


class _Later(ModuleType):
    """Stands in for structlog until somebody has something to say."""

    def __init__(self, level: str) -> None:
        super().__init__(_NAME)
        self.level = level

    def get_logger(self, *names: str) -> _Logger:
        """Return a logger that loads structlog at its first word."""
        return _Logger(self, names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.load(), name)

    def load(self) -> ModuleType:
        """Load structlog, and put it in our place."""
        with _loading:
            if sys.modules[_NAME] is self:
                del sys.modules[_NAME]
                import structlog

                _configure(structlog, self.level)
        return sys.modules[_NAME]


class _Logger:
    """A logger of a structlog that is not there yet."""

    def __init__(self, later: _Later, names: tuple[str, ...]) -> None:
        self._later = later
        self._names = names

    def __getattr__(self, word: str) -> Any:
        return getattr(self._later.load().get_logger(*self._names), word)


def _configure(structlog: Any, word: str) -> None:
    import logging

    level = logging.getLevelNamesMapping().get(word.upper(), logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
