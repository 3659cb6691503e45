"""What a host says of its groups: only what changed, and the less urgent the later.

Where an item stands and what is wrong with it is said within a second, how old what is safe of it is every
ten, and sums every minute; all of it with a new state. What the vault does not have yet is known by the
number of the report that it kept: if that is another one, everything is said again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from bascule.model.errors import Unavailable
from bascule.model.items import Headway, Wish, written
from bascule.model.vault.commands import Json, Report
from bascule.replication.provider.folder import ItemFolder, ProviderFolder

Machines = Callable[[], Mapping[str, Json]]
"""Tells all machines of a host as it calls them, and of each its disks."""

log = structlog.get_logger(__name__)
_TIMELY_SECONDS = 10.0
_SLOW_SECONDS = 60.0
_TIMELY = {"safe_as_of", "newest", "headway", "app_consistent_at", "consistent_tried_at"}
_SLOW = {"totals", "room_bytes", "cycle_seconds"}
# Paths of secrets, commands of this host's operator: nobody else's business. The rest is said otherwise.
_UNSAID = {"key_file", "seen_at", "session"}
_UNSAID_OF_POLICY = {"before", "after"}


class Reporter:
    """Finds out what to say. Use from one thread."""

    def __init__(
        self,
        folder: ProviderFolder,
        host: str,
        machines: Machines | None = None,
        errands: Callable[[], Mapping[str, Headway]] = dict,
    ) -> None:
        """``machines`` tells what the host calls its machines; it may raise Unavailable.

        ``errands`` tells how far commands are that take their time.
        """
        self._errands = errands
        self._errands_said: dict[str, Headway] = {}
        self._folder = folder
        self._machines = machines or dict
        self._listed: Mapping[str, Json] | None = None
        self._listed_at = float("-inf")
        self._host = host
        self._said: dict[str, dict[str, Json]] = {}
        self._number = 0
        self._stamps: dict[str, object] = {}
        self._read: dict[str, dict[str, Json]] = {}
        self._timely_at = self._slow_at = float("-inf")

    def next(self, now: float) -> Report | None:
        """Return what is to be said now; None if that is nothing. It counts as said when it was ``kept``."""
        found, machines = self._look(), self._inventory(now)
        if not self._number:
            return Report(self._host, 1, 0, found, (), machines)
        held = set() if now - self._timely_at >= _TIMELY_SECONDS else set(_TIMELY)
        held |= set() if now - self._slow_at >= _SLOW_SECONDS else _SLOW
        groups = {
            group: changed
            for group, fields in found.items()
            if (changed := self._changed(group, fields, held))
        }
        gone = tuple(sorted(self._said.keys() - found.keys()))
        errands = self._changed_errands() if "headway" not in held else {}
        if not groups and not gone and machines is None and not errands:
            return None
        return Report(self._host, self._number + 1, self._number, groups, gone, machines, errands)

    def _changed_errands(self) -> Mapping[str, Headway]:
        known = self._errands()
        self._errands_said = {id: far for id, far in self._errands_said.items() if id in known}
        return {id: far for id, far in known.items() if self._errands_said.get(id) != far}

    def kept(self, report: Report, number: int, now: float) -> None:
        """Hear which report the vault has kept: this one, or it wants to hear everything."""
        if number != report.number:
            self._number, self._said, self._errands_said = 0, {}, {}
            self._listed, self._listed_at = None, float("-inf")
            return
        self._number = number
        self._errands_said |= report.errands
        if report.since == 0 or report.errands or _says(report, _TIMELY):
            self._timely_at = now
        if report.since == 0 or _says(report, _SLOW):
            self._slow_at = now
        for group, fields in report.groups.items():
            self._said.setdefault(group, {}).update(fields)
        for group in report.gone:
            self._said.pop(group, None)
        if report.machines is not None:
            self._listed, self._listed_at = report.machines, now

    def _inventory(self, now: float) -> Mapping[str, Json] | None:
        """Return the machines of the host, None if they are as they were said, or nobody knows."""
        if now - self._listed_at < _SLOW_SECONDS:
            return None
        try:
            found = self._machines()
        except Unavailable as error:
            log.warning("replication.machines_unknown", reason=error.message)
            self._listed_at = now
            return None
        if found == self._listed:
            self._listed_at = now
            return None
        return found

    def _changed(self, group: str, fields: Mapping[str, Json], held: set[str]) -> dict[str, Json]:
        said = self._said.get(group)
        if said is None:
            return dict(fields)
        if said.get("state") != fields.get("state"):
            held = set()  # a job may have waited for it, and looks at all of it once
        return {k: value for k, value in fields.items() if k not in held and said.get(k, _NEVER) != value}

    def _look(self) -> dict[str, dict[str, Json]]:
        """Return all fields of all groups, reading only files that changed."""
        found = {}
        for item in self._folder.items():
            stamp = (item.stamp(), item.facts_stamp())
            if self._stamps.get(item.group) != stamp and (fields := _fields(item)) is not None:
                self._stamps[item.group], self._read[item.group] = stamp, fields
            if item.group in self._read:
                found[item.group] = self._read[item.group]
        self._read = {group: self._read[group] for group in found}
        self._stamps = {group: self._stamps[group] for group in found}
        return found


_NEVER = object()


def _says(report: Report, names: set[str]) -> bool:
    return any(names & fields.keys() for fields in report.groups.values())


def _fields(item: ItemFolder) -> dict[str, Json] | None:
    wish = item.wish()
    if wish is None:
        return None
    facts: dict[str, Any] = json.loads(written(item.facts()))
    found = {name: value for name, value in facts.items() if name not in _UNSAID}
    if facts["safe_as_of"] is not None:
        found["safe_as_of"] = int(facts["safe_as_of"])  # never newer than it is
    return found | {"wish": _wish(wish)}


def _wish(wish: Wish) -> dict[str, Json]:
    document: dict[str, Any] = json.loads(written(wish))
    policy = {name: value for name, value in document["policy"].items() if name not in _UNSAID_OF_POLICY}
    return {name: value for name, value in document.items() if name not in _UNSAID} | {"policy": policy}
