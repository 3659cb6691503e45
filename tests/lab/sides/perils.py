"""The verbs that somebody may die in, and how the story must end when they are asked for again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bascule.model.machines import Power
from lab.stage import MACHINE, Stand
from tests.lab.sides.scenes import COMMANDS, COPY, PROTECT, REVERSE, SECOND, World, acknowledged, goes_on_from

OLDEST = "OLDEST"
PROVIDER = ("provider", "run", "first-provider")


@dataclass(frozen=True, slots=True)
class Peril:
    """A verb on one side in a scene, what runs there meanwhile, and how it must end.

    The end is given the last record that was promised before: that of the newest point.
    """

    scene: str
    side: str
    words: Sequence[str]
    awake: Callable[[World], None]
    ends: Callable[[World, int], None]

    def begin(self, world: World) -> int:
        """Be in the scene; return what is promised."""
        world.scene(self.scene)
        self.awake(world)
        return world.promised()

    def on(self, world: World) -> Stand:
        return world.first if self.side == "first" else world.second

    def spoken(self, world: World) -> list[str]:
        """Return the words of the verb in the world as it is."""
        return [f"{MACHINE}/{world.oldest()}" if word == OLDEST else word for word in self.words]

    def again(self, world: World) -> None:
        """Ask for the verb again.

        Not for a provider, which goes on until it dies: how that ends starts one. Nor for a cancel that was
        killed after all was done, for on a host to which nothing came it is refused.
        """
        side = self.on(world)
        if self.words == COMMANDS["cancel"] and not status(side)["machines"]:
            return
        if self.words != PROVIDER:
            side.run(*self.spoken(world), quietly=True)


def over_there(world: World, promised: int) -> None:
    """The machine runs at the second host, with all that was promised."""
    if world.second.power() is Power.OFF:  # the host's power was cut after the verb was done
        world.second.run("replica", "start", "store", MACHINE, quietly=True)
    assert world.first.power() is Power.OFF
    world.holds(world.second, promised)


def over_there_at_the_oldest_point(world: World, promised: int) -> None:
    (row,) = status(world.second)["machines"]
    assert row["point"] == f"{MACHINE}/{world.oldest()}"
    _, verdict = world.stage.judge_point(MACHINE, world.oldest())
    over_there(world, verdict.last)


def at_home(world: World, promised: int) -> None:
    """The machine runs at the first host, with all that was promised."""
    if world.first.power() is Power.OFF:
        world.first.run("machine", "start", MACHINE, quietly=True)
    assert world.second.power() is Power.OFF
    world.holds(world.first, promised)


def replicated_at_home(world: World, promised: int) -> None:
    world.is_patient = True  # who is not cuts the power of what is to be replicated
    at_home(world, promised)
    world.replicated(world.first, MACHINE)
    goes_on_from(world.promised(), promised)


def replicated_over_there(world: World, promised: int) -> None:
    world.is_patient = True
    over_there(world, promised)
    world.replicated(world.second, SECOND)
    goes_on_from(world.promised(), promised)


def handed_over(world: World, promised: int) -> None:
    _handed(world, world.first, promised)


def handed_back(world: World, promised: int) -> None:
    _handed(world, world.second, promised)


def _handed(world: World, side: Stand, promised: int) -> None:
    """The machine is off, and the newest point is all that it ever wrote."""
    assert side.power() is Power.OFF
    last = world.promised()
    goes_on_from(last, max(promised, acknowledged(side, MACHINE)))


def as_before(world: World, promised: int) -> None:
    """Nothing is left at the second host, and the machine can be started at home."""
    assert status(world.second)["machines"] == []
    at_home(world, 1)


def as_before_the_return(world: World, promised: int) -> None:
    """The machine is off at home, and can be started where it was."""
    assert status(world.first)["machines"] == []
    over_there(world, promised)


def level(world: World, promised: int) -> None:
    (row,) = status(world.first)["machines"]
    assert row["phase"] == "synchronising"
    over_there(world, 1)


def tested(world: World, promised: int) -> None:
    if world.second.power(COPY) is Power.OFF:  # the host's power was cut after the verb was done
        world.second.run(*COMMANDS["clean-up"], quietly=True)
        world.second.run(*COMMANDS["test"], quietly=True)
    goes_on_from(world.writes(world.second, COPY), promised)


def clean(world: World, promised: int) -> None:
    found = status(world.second)
    assert found["machines"] == []
    assert len(found["tests"]) == 1


def released(world: World, promised: int) -> None:
    assert status(world.second)["machines"] == []
    at_home(world, promised)


def status(side: Stand) -> dict[str, list[dict[str, str]]]:
    return side.run_json("replica", "status", "store")


_FAIL_BACK = COMMANDS["fail-back"]
_CHANGE = ("replica", "change-point", "store", OLDEST)
PERILS = {
    "protect": Peril("defined", "first", PROTECT, World.runs_at_home, replicated_at_home),
    "provider": Peril("protected", "first", PROVIDER, World.runs_at_home, replicated_at_home),
    "hand over": Peril("protected", "first", COMMANDS["hand-over"], World.runs_at_home, handed_over),
    "fail over": Peril("protected", "second", COMMANDS["fail-over"], World.nothing, over_there),
    "planned": Peril("handed over", "second", COMMANDS["fail-over"], World.nothing, over_there),
    "test": Peril("protected", "second", COMMANDS["test"], World.started_at_home, tested),
    "clean up": Peril("protected", "second", COMMANDS["clean-up"], World.tested, clean),
    "change": Peril("over", "second", _CHANGE, World.started_over_there, over_there_at_the_oldest_point),
    "cancel": Peril("over", "second", COMMANDS["cancel"], World.started_over_there, as_before),
    "commit": Peril("over", "second", COMMANDS["commit"], World.started_over_there, over_there),
    "reverse": Peril("over", "second", REVERSE, World.committed_over_there, replicated_over_there),
    "level": Peril("reversed", "first", _FAIL_BACK, World.started_over_there, level),
    "hand back": Peril("level", "second", COMMANDS["hand-over"], World.runs_over_there, handed_back),
    "complete": Peril("handed back", "first", _FAIL_BACK, World.nothing, at_home),
    "fail back": Peril("handed back at once", "first", _FAIL_BACK, World.nothing, at_home),
    "full": Peril("handed back at once", "first", (*_FAIL_BACK, "--full"), World.nothing, at_home),
    "commit at home": Peril("home", "first", COMMANDS["commit"], World.started_at_home, at_home),
    "cancel at home": Peril("home", "first", COMMANDS["cancel"], World.started_at_home, as_before_the_return),
    "release": Peril("home", "second", COMMANDS["release"], World.home_for_good, released),
}
