"""A host that joined a vault, and whose machines are rows: ``python -m tests.apps.vault.kills.hosting …``.

All between it and the vault is the product's: certificate, connections, commands as wishes, errands, facts,
reports. What its verbs do is written down in a world that outlives it (``FakeSites``), so that a test can
tell what happened and how often; ``SIDE`` is the one on which it stands. By its ``MOMENT`` it dies, once at
each place, or its network is cut there:

    before  an effect is about to happen           unasked  the network is cut before a question is sent
    after   it has happened, and is not written    unheard  ... after it was answered: the answer is lost
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bascule.apps.chance import SystemClock, SystemIds
from bascule.drivers.pki.credentials import HostCredentials
from bascule.drivers.sites.fake import FakeSites
from bascule.model.errors import Missing, Unavailable
from bascule.model.items import Facts, Newest, State, Wish
from bascule.model.vault.commands import Command, Result
from bascule.ports.sites import Order, Purpose
from bascule.replication.provider.folder import ProviderFolder
from bascule.replication.uplink import uplink as uplinks
from bascule.replication.uplink.line import Line
from bascule.replication.uplink.obeying import obey
from bascule.replication.uplink.papers import Papers
from bascule.replication.uplink.uplink import Pace, Uplink
from bascule.wire.control import messages

from .dying import Deaths, live_again_and_again

HOME, AWAY = "home", "away"
_LOOK_SECONDS = 0.05
Verb = Callable[[Command], str]


class Rows:
    """What a host's verbs do to the rows of the world."""

    def __init__(self, sites: FakeSites, side: str, folder: ProviderFolder) -> None:
        self._sites = sites
        self._side = side
        self._folder = folder

    def verbs(self) -> Mapping[str, Verb]:
        """Return the verbs of the side, by their names on the wire."""
        sites = self._sites
        of_both: dict[str, Verb] = {
            "relate": self._relate,
            "check-recovery": _nothing,
            "points": lambda _command: "[]",
        }
        if self._side == HOME:
            home: dict[str, Verb] = {
                "check-source": _nothing,
                "hand-over": lambda c: _done(sites.hand_over(order(c))),
                "take-back": lambda c: _done(sites.let_go(order(c))),
                "level": lambda c: _done(sites.home.level(order(c))),
                "come-home": lambda c: number(
                    sites.home.come_home(order(c), whole=bool(c.arguments["whole"]))
                ),
                "give-up": lambda c: _done(sites.home.give_up(order(c))),
                "commit": lambda c: _done(sites.home.keep(order(c))),
            }
            return of_both | home
        away: dict[str, Verb] = {
            "settle": lambda c: _done(sites.settle(order(c))),
            "latest": lambda c: number(sites.latest_point(order(c))),
            "fence": lambda c: _done(sites.fence(order(c))),
            "owner": lambda _command: "session",
            "fail-over": lambda c: sites.start(order(c), point(c), Purpose.FAILOVER),
            "test": lambda c: sites.start(order(c), point(c), Purpose.TEST),
            "cancel": lambda c: _done(sites.remove(order(c), Purpose.FAILOVER)),
            "clean-up": lambda c: _done(sites.remove(order(c), Purpose.TEST)),
            "commit": lambda c: _done(sites.keep_only(order(c))),
            "shape": lambda c: _done(sites.reshape(order(c), str(c.arguments["settings"]))),
            "forget": lambda c: _done(sites.forget(order(c))),
            "hand-over": lambda c: _done(sites.away.hand_over(order(c))),
            "take-back": lambda c: _done(sites.away.take_back(order(c))),
            "release": self._release,
        }
        return of_both | away

    def _relate(self, command: Command) -> str:
        relate = self._sites.home.relate_again if self._side == HOME else self._sites.away.relate_back
        relate(order(command))
        self._folder.item(command.group).change(
            lambda before: before or Wish(command.group, ("one#web",), "store", command=command.id)
        )
        return ""

    def _release(self, command: Command) -> str:
        self._sites.away.release(order(command))
        self._folder.item(command.group).change(lambda _wish: None)
        return ""

    def obey(self, folder: ProviderFolder, command: Command) -> Result:
        """Obey a command that becomes a wish, as a host does, and write down what that led to."""
        result = obey(folder, command)
        if result.is_done and command.verb == "protect":
            self._sites.relate(order(command))
        elif result.is_done and command.verb == "unprotect":
            (self._sites.unrelate if self._side == HOME else self._sites.away.unrelate_back)(order(command))
        elif result.is_done and command.verb == "resync":
            self._sites.do(order(command), "resync")
        elif result.is_done and command.verb == "follow-policy":
            follow = self._sites.follow if self._side == HOME else self._sites.away.follow_back
            follow(order(command))
        return result

    def replicate(self, now: float) -> None:
        """Say of each wish that it is fulfilled."""
        for item in self._folder.items():
            wish = item.wish()
            if wish is not None and item.facts().generation != wish.generation:
                newest = Newest(3, now, "crash")
                said = Facts(wish.generation, State.REPLICATING, now, now, now, newest, resynced=wish.resync)
                item.tell(said)


def order(command: Command) -> Order:
    """Return a command as an order; who may command is for the vault's door to say."""
    return Order("north", command.group, 0, 0, command.id)


def point(command: Command) -> str:
    return f"{command.group}/{command.arguments['point']}"


def number(words: str) -> str:
    return words.rpartition("/")[2]


def _nothing(_command: Command) -> str:
    return ""


def _done(_value: object) -> str:
    return ""


def cut(deaths: Deaths, moment: str) -> None:
    """Cut the network once around each question that tells or brings something."""
    ask = Line.ask

    def asked(self: Line, papers: Papers, what: str, body: bytes, seconds: float = 30.0) -> bytes:
        if moment == "unasked" and what == "commands" and (told := messages.exchange_from(body).results):
            _lose(self, deaths, f"unasked {told[0].id}")
        answer = ask(self, papers, what, body, seconds)
        if moment == "unheard" and what == "commands":
            told = [one.id for one in messages.exchange_from(body).results]
            brought = [one.id for one in messages.commands_from(answer)]
            if told or brought:
                _lose(self, deaths, f"unheard {told} {brought}")
        return answer

    Line.ask = asked


def _lose(line: Line, deaths: Deaths, place: str) -> None:
    if deaths.note(place):
        line.hang_up()
        raise Unavailable("the network is cut", code="hung-up")


def host(folder: Path, world: Path, side: str, deaths: Deaths, moment: str) -> int:
    """Be a host until somebody ends it."""
    sites, provider, clock = FakeSites(world), ProviderFolder(folder), SystemClock()

    def interrupt(verb: str, token: str, now: str) -> None:
        if now == moment:
            deaths.die_at(f"{now} {verb} {token}")

    sites.interrupt = interrupt
    if moment in ("unasked", "unheard"):
        cut(deaths, moment)
    rows = Rows(sites, side, provider)
    uplinks.obey, uplinks._LOOK_SECONDS = rows.obey, 0.1
    pace = Pace(first_seconds=0.05, most_seconds=0.2, refused_seconds=0.5)
    uplink = Uplink(provider, HostCredentials(), clock, SystemIds(), pace, rows.verbs())
    over, parent = threading.Event(), os.getppid()
    thread = threading.Thread(target=partial(uplink.run, over), daemon=True)
    thread.start()
    while thread.is_alive() and os.getppid() == parent:
        rows.replicate(clock.now())
        over.wait(_LOOK_SECONDS)
    raise Missing("the uplink ended by itself")


def main(folder: str, world: str, side: str, deaths: str, moment: str) -> int:
    """Be a host, from one death to the next."""
    return live_again_and_again(lambda: host(Path(folder), Path(world), side, Deaths(Path(deaths)), moment))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
