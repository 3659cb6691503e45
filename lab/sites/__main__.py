"""``python -m lab.sites``: the process that is the WAN of two sites."""

from __future__ import annotations

import sys

from . import wan

if __name__ == "__main__":
    sys.exit(wan.main())
