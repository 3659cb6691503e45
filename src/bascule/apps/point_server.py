"""One process per recovered machine: ``python -m bascule.apps.point_server STORE POINT …``.

It is ``bascule serve-point`` and nothing else, so that a restart of anything else
never stalls a guest whose disks are served here.
"""

from __future__ import annotations

import sys

from .command_line import main_with


def main() -> None:
    """Serve until a signal, and leave with the exit code of how it ended."""
    main_with(["serve-point", *sys.argv[1:]])


if __name__ == "__main__":
    main()
