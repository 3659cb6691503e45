"""What may happen while a verb stands before a step, and how it is seen that all was made good."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab.stage import PATIENCE_SECONDS, Halting
from lab.waiting import wait_until
from tests.lab.sides.perils import PERILS, PROVIDER, Peril
from tests.lab.sides.scenes import World

PATIENT = 5
MOST_STEPS = 200  # a provider never ends
FAMILIES = (0, 2, 3, 4)
UNAVAILABLE = 3
Happens = Callable[[World, Peril, Halting], None]


def dies(world: World, peril: Peril, command: Halting) -> None:
    """Nobody is asked and nothing else changes."""
    command.kill()


def loses_power(world: World, peril: Peril, command: Halting) -> None:
    """All of the verb's host ends at once: the command, QEMU, point servers, the provider."""
    world.computer(peril.on(world)).cut_power()
    command.process.wait(PATIENCE_SECONDS)


def is_alone(world: World, peril: Peril, command: Halting) -> None:
    """All of the other host ends; the verb goes on."""
    world.computer(world.second if peril.on(world) is world.first else world.first).cut_power()
    assert goes_on(peril, command) in FAMILIES


def everything_loses_power(world: World, peril: Peril, command: Halting) -> None:
    """Hosts and store, and what nobody flushed is gone."""
    world.hosts.cut()
    world.store.cut()
    world.power_off()
    world.is_torn = True
    command.process.wait(PATIENCE_SECONDS)
    world.hosts.exchange()
    world.store.exchange()


def loses_the_store(world: World, peril: Peril, command: Halting) -> None:
    """The store's drive fails under the verb, which says so; then both hosts go down, and all comes back."""
    world.store.cut()
    assert goes_on(peril, command) in FAMILIES
    world.power_off()
    world.store.exchange()


def loses_its_providers(world: World, peril: Peril, command: Halting) -> None:
    """The providers of both hosts, which ran beside the verb, are killed; the verb goes on."""
    for provider in world.providers:
        provider.kill()
        provider.wait(PATIENCE_SECONDS)
    assert goes_on(peril, command) in FAMILIES


def misses_the_store(world: World, peril: Peril, command: Halting) -> None:
    """The store is out of reach until somebody missed it, and the verb does not mind."""
    assert world.bucket
    world.bucket.go_away()
    command.process.send_signal(signal.SIGCONT)
    wait_until(lambda: world.bucket.missed or has_ended(command), PATIENCE_SECONDS, "somebody to miss it")
    world.bucket.come_back()
    assert goes_on(peril, command) == 0


def gives_up_on_the_store(world: World, peril: Peril, command: Halting) -> None:
    """The store is out of reach for as long as the verb tries, which says so."""
    assert world.bucket
    world.bucket.go_away()
    assert goes_on(peril, command) in (0, UNAVAILABLE)
    world.bucket.come_back()


def has_ended(command: Halting) -> bool:
    return command.process.poll() is not None


def goes_on(peril: Peril, command: Halting) -> int:
    """Let a verb go on to its end, and a provider, which has none, until it is asked to end."""
    if peril.words == PROVIDER:
        command.process.send_signal(signal.SIGTERM)
    return command.go_on()


VICTIMS: dict[str, Happens] = {
    "verb": dies,
    "host": loses_power,
    "other host": is_alone,
    "providers": loses_its_providers,
    "store": loses_the_store,
    "everything": everything_loses_power,
}
FAR_VICTIMS: dict[str, Happens] = {
    "network": misses_the_store,
    "store far away": gives_up_on_the_store,
}


def endured(world: World, name: str, step: int, victim: str, *, is_patient: bool = False) -> str:
    """Let something happen before a step, and see that it is made good.

    Returns what the step was, empty if there are fewer.
    """
    peril = PERILS[name]
    world.is_patient = True
    promised = peril.begin(world)
    world.is_patient = is_patient
    with providing(world, peril, victim):
        command = peril.on(world).halting(step, *peril.spoken(world))
        if not command.has_halted():
            assert command.kill() == 0
            return ""
        before = command.steps()[-1]
        try:
            (VICTIMS | FAR_VICTIMS)[victim](world, peril, command)
            world.one_runs_or_none()
            peril.again(world)
            world.one_runs_or_none()
            peril.ends(world, promised)
        except BaseException as error:
            error.add_note(f"{name} stood before step {before}")
            raise
    return before


@contextmanager
def providing(world: World, peril: Peril, victim: str) -> Iterator[None]:
    """Have a provider run on either host beside the verb, if they are to be the victims."""
    sides = (world.first, world.second) if victim == "providers" and peril.words != PROVIDER else ()
    world.providers = [side.begin("provider", "run", f"{side.name}-provider") for side in sides]
    yield
    world.providers = []


def counted(world: World, name: str) -> int:
    """Return how many steps a verb takes."""
    peril = PERILS[name]
    if peril.words == PROVIDER:
        return MOST_STEPS
    peril.begin(world)
    command = peril.on(world).halting(0, *peril.spoken(world))
    assert not command.has_halted()
    assert command.process.wait(PATIENCE_SECONDS) == 0
    return len(command.steps())
