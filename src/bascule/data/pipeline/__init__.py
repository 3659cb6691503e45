"""Moves bytes between sources, the store and sinks. Threads: the natives release the interpreter's lock."""

from .copy import Capture, Copied, copy
from .flow.conduct import Conduct
from .flow.crew import Cancel
from .flow.progress import Meter, Observer, Progress
from .flow.throttle import Schedule, Throttle, Window
from .journal import Journal
from .restore import Restored, restore
from .resync import Compared, Resynced, resync

__all__ = [
    "Cancel",
    "Capture",
    "Compared",
    "Conduct",
    "Copied",
    "Journal",
    "Meter",
    "Observer",
    "Progress",
    "Restored",
    "Resynced",
    "Schedule",
    "Throttle",
    "Window",
    "copy",
    "restore",
    "resync",
]
