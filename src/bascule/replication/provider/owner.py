"""Whose group it is: a provider that was fenced never fences back by itself (R-FO-7).

Order of a beginning: look at the newest entry of the log; if its session is none of ours, stop; write down
the new session's id; only then store its fence. The look and the fence are one step, for the fence is
created as the entry after the one that was looked at: who was faster is looked at in turn. A process killed
in between knows its session again, whether the fence was stored or not. An answer that never came leaves the
id in the file, so a fence that arrives late is still known as ours.

In a cluster a machine moves from host to host, and each host's provider signs its sessions with the
cluster's name. Such a session may be followed without being told to, but only by the provider to which the
machine *came*: one whose machine never left runs a second copy of it, and must not fence the first.
"""

from __future__ import annotations

import json
from pathlib import Path

from bascule.data.store import Claim
from bascule.data.store.format.entries import RETIRED, Entry
from bascule.model.errors import Damaged, Fenced

from .folder import put

_SESSIONS_MAX = 256


class Foreign(Fenced):
    """The group's newest entry is of a session that is not ours. ``session`` and ``writer`` name it."""

    code = "fenced"

    def __init__(self, group: str, head: Entry, *, is_mate: bool = False) -> None:
        twice = "; the machine seems to run on two hosts of its cluster" if is_mate else ""
        look = "see on which host the machine is to run, and stop the other one; " if is_mate else ""
        super().__init__(
            f"{head.writer} writes group {group} since entry {head.number} or before{twice}",
            cure=f"{look}if this side is to go on: `bascule resume {group} --take-over`",
        )
        self.session = head.session
        self.writer = head.writer


def signed(cluster: str, who: str) -> str:
    """Return how a writer calls itself."""
    return f"{_sign(cluster)}{who}" if cluster else who


def _sign(cluster: str) -> str:
    return f"cluster {cluster}: "


class Owner:
    """Sessions of a group's log that are ours, kept in a file. Use from one thread.

    ``has_come`` tells of a machine of a cluster that it was not here when it was last looked for.
    """

    def __init__(self, path: Path, cluster: str = "", *, has_come: bool = False) -> None:
        self._path = path
        self._sessions = _read(path)
        self._cluster = cluster
        self._has_come = has_come
        self.followed = ""

    def claim(self, allowed: str = "") -> Claim:
        """Return what lets a session begin if the log is new, or ours, or of the session ``allowed``."""

        def look(head: Entry | None, session: str) -> None:
            if head is not None and head.session != allowed and not self._may_follow(head):
                self.check(head)
            # A group that had ended is begun anew behind that end, which is ours to follow from here on.
            ended = [head.session] if head is not None and self._is_free(head) else []
            self._sessions = [*ended, *self._sessions, session][-_SESSIONS_MAX:]
            self._write()

        return look

    def check(self, head: Entry) -> None:
        """Raise Foreign unless an entry is of a session of ours, or its group has ended and is free."""
        if head.session not in self._sessions and not self._is_free(head):
            raise Foreign(head.group, head, is_mate=self.is_mate(head))

    def _is_free(self, head: Entry) -> bool:
        """Tell whether a group has ended. Not for who wrote it until then: they have not heard of it."""
        return head.kind == RETIRED and not self._sessions

    def is_mate(self, head: Entry) -> bool:
        """Tell whether an entry is of the provider of another host of the cluster."""
        is_signed = bool(self._cluster) and head.writer.startswith(_sign(self._cluster))
        return is_signed and head.session not in self._sessions

    def _may_follow(self, head: Entry) -> bool:
        if not self._has_come or not self.is_mate(head):
            return False
        self.followed = head.writer
        return True

    def settle(self, session: str) -> None:
        """Say that a session of ours published: no earlier one can own the log again."""
        if self._sessions != [session]:
            self._sessions = [session]
            self._write()

    def _write(self) -> None:
        put(self._path, json.dumps({"version": 1, "sessions": self._sessions}).encode(), durable=True)


def _read(path: Path) -> list[str]:
    try:
        return [str(session) for session in json.loads(path.read_bytes())["sessions"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(
            f"{path} cannot be read: {error!r}",
            cure="remove it, and say with `bascule resume GROUP --take-over` that the group is this side's",
        ) from error
