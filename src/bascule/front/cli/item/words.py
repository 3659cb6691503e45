"""What the commands of items share: how they are named, and how one is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.remote import finding
from bascule.front.cli.remote.options import properties, server_of
from bascule.front.cli.remote.server import Begun, Server
from bascule.front.cli.remote.waiting import Answer, finish, raise_failure, view_of
from bascule.front.cli.words.agreeing import agreed

Item = Annotated[
    str,
    typer.Argument(metavar="ITEM", help="An item: its name, or SITE/NAME.", show_default=False),
]
_GROUP = "replication_protected_items"
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """One command to an item, as it was typed."""

    context: typer.Context
    name: str
    vault: str
    profile: str
    wait: bool
    is_json: bool
    yes: bool = True

    def open(self) -> Told:
        """Find the item."""
        server = server_of(self.context, self.profile, self.vault)
        place, found = finding.item(server, self.name)
        return Told(self, server, Screen(is_json=self.is_json), place, found)


class Told(NamedTuple):
    """An item that was found, to be told something."""

    order: Order
    server: Server
    screen: Screen
    place: finding.Place
    found: finding.Document

    @property
    def sides(self) -> tuple[str, str]:
        """Return the sites that it is protected from and to."""
        said = properties(self.found)
        return str(said["primaryFabricFriendlyName"]), str(said["recoveryFabricFriendlyName"])

    @property
    def is_home(self) -> bool:
        """Tell whether the machine that works is the one at the site that it is protected from."""
        return str(properties(self.found)["activeLocation"]) == "Primary"

    def agree(self, consequence: str) -> None:
        """Say what is about to happen, and ask if somebody is there."""
        agreed(self.screen, consequence, yes=self.order.yes)

    def begin(self, verb: str, body: dict[str, Any] | None = None) -> Begun:
        """Give the command."""
        return self.server.begin(f"{_GROUP}.{verb}", *self.place, *(() if body is None else (body,)))

    def give(
        self, verb: str, said: str, body: dict[str, Any] | None = None, answer: Answer | None = None
    ) -> finding.Document:
        """Give the command, and wait for its end if that was asked for."""
        begun = self.begin(verb, body)
        return finish(self.server, self.screen, begun, said, wait=self.order.wait, answer=answer)


def until_protected(server: Server, screen: Screen, place: finding.Place) -> finding.Document:
    """Wait until an item is protected: its first copy is there, and a job has found it good."""
    screen.note("  the first copy goes on")
    job = ""
    with view_of(screen) as view:
        while True:
            found = server.get("replication_protected_items.get", *place)
            if properties(found)["protectionState"] == "Protected":
                return found
            going = str(properties(found)["currentScenario"]["jobId"]).rpartition("/")[2]
            job = job if going == "None" else going
            if job:
                seen = server.get("replication_jobs.get", job)
                view.look(seen)
                raise_failure(seen)
            server.clock.sleep(_LOOK_SECONDS)
