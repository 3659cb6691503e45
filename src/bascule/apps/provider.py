"""The provider of a host as a process of its own: ``python -m bascule.apps.provider FOLDER …``.

It is ``bascule provider run`` and nothing else.
"""

from __future__ import annotations

import sys

from .command_line import main_with


def main() -> None:
    """Keep a host's machines replicated until a signal, and leave with the exit code of how it ended."""
    main_with(["provider", "run", *sys.argv[1:]])


if __name__ == "__main__":
    main()
