"""The options that say what recovered machines are to be, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, get_type_hints

import typer

from bascule.front.cli.words.quantities import bytes_from
from bascule.model.errors import Refused

if TYPE_CHECKING:
    from bascule.recovery.shapes.asked import Asked, Wanted

_T = TypeVar("_T")
_MIB = 1 << 20

Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name", metavar="MACHINE=NAME", help="Call a machine so here; may be repeated.", show_default=False
    ),
]
Cpus = Annotated[
    list[str] | None,
    typer.Option(
        "--cpus",
        metavar="[MACHINE=]N",
        help="Processors, of one machine or of all; may be repeated. [as at the point]",
        show_default=False,
    ),
]
Memory = Annotated[
    list[str] | None,
    typer.Option(
        "--memory",
        metavar="[MACHINE=]SIZE",
        help="Memory, of one machine or of all: 512M, 4G; may be repeated. [as at the point]",
        show_default=False,
    ),
]
Networks = Annotated[
    list[str] | None,
    typer.Option(
        "--network",
        metavar="THERE=HERE",
        help="Plug cards that were in one network into another; nothing behind the sign leaves them loose.",
        show_default=False,
    ),
]
Network = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="NAME",
        help="Plug all cards into this. [as kept by `shape --for-test`, or they hang loose]",
        show_default=False,
    ),
]
Cards = Annotated[
    list[str] | None,
    typer.Option(
        "--card",
        metavar="MACHINE/CARD=NETWORK",
        help="Plug one card into a network, whatever --network says; may be repeated.",
        show_default=False,
    ),
]
Macs = Annotated[
    list[str] | None,
    typer.Option(
        "--mac",
        metavar="MACHINE/CARD=MAC",
        help="The address of a card: keep, new, or six pairs of digits. [keep; new in a test]",
        show_default=False,
    ),
]
Addresses = Annotated[
    list[str] | None,
    typer.Option(
        "--address",
        metavar="MACHINE/CARD=ADDRESS/BITS",
        help="Hand this IPv4 address to a guest that asks for a lease; only where this host hands them out.",
        show_default=False,
    ),
]


Uuids = Annotated[
    list[str] | None,
    typer.Option(
        "--uuid",
        metavar="MACHINE=UUID",
        help="The number that guests know their machine by: keep, new, or one. [keep; new in a test]",
        show_default=False,
    ),
]


class Words(NamedTuple):
    """What was said of recovered machines; each field is an option of the commands that take it."""

    names: Names = None
    cpus: Cpus = None
    memory: Memory = None
    networks: Networks = None
    network: Network = None
    cards: Cards = None
    macs: Macs = None
    addresses: Addresses = None
    uuids: Uuids = None


RECOVERED = tuple(field for field in Words._fields if field != "network")
COPIED = tuple(field for field in Words._fields if field != "networks")
HOME = ("names", "networks")


def saying(*fields: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of some fields of ``Words`` in the place of its argument ``said``."""
    kinds = get_type_hints(Words, include_extras=True)
    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kinds[name]) for name in fields
    ]

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        plain = signature(command, eval_str=True)
        own = [*plain.parameters.values()]
        place = [*plain.parameters].index("said")

        @wraps(command)
        def wrapped(*arguments: Any, **named: Any) -> None:
            said = Words(**{name: named.pop(name) for name in fields})
            command(*arguments, said=said, **named)

        whole = [*own[:place], *options, *own[place + 1 :]]
        vars(wrapped).update(__signature__=plain.replace(parameters=whole))  # what Typer reads
        wrapped.__annotations__ = {option.name: option.annotation for option in whole}
        return wrapped

    return decorated


def asked_from(words: Words) -> Asked:
    """Return what recovered machines are asked to be."""
    from bascule.recovery.shapes.asked import Asked

    asked = Asked(networks=dict(_pairs("--network", words.networks)), network=words.network)
    for machine, wanted in _machines(words):
        asked = Asked({machine: wanted}).over(asked)
    return asked


def _machines(words: Words) -> Iterator[tuple[str, Wanted]]:
    from bascule.recovery.shapes.asked import Card, Wanted

    for machine, name in _pairs("--name", words.names):
        yield machine, Wanted(name=name)
    for machine, number in _pairs("--uuid", words.uuids):
        yield machine, Wanted(uuid=number)
    for machine, count in _each("--cpus", words.cpus, _count):
        yield machine, Wanted(cpus=count)
    for machine, size in _each("--memory", words.memory, _mib):
        yield machine, Wanted(memory_mib=size)
    for machine, card, network in _of_cards("--card", words.cards):
        yield machine, Wanted(cards={card: Card(network=network)})
    for machine, card, mac in _of_cards("--mac", words.macs):
        yield machine, Wanted(cards={card: Card(mac=mac)})
    for machine, card, address in _of_cards("--address", words.addresses):
        yield machine, Wanted(cards={card: Card(address=address)})


def _each(option: str, words: Sequence[str] | None, read: Callable[[str], _T]) -> Iterator[tuple[str, _T]]:
    for word in words or ():
        machine, sign, value = word.rpartition("=")
        if sign and not machine:
            raise Refused(f"{option} {word} names no machine", cure=f"write {option} MACHINE={value}")
        yield machine, read(value)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise Refused(f"{text!r} is no number of processors", cure="write --cpus 2, or --cpus MACHINE=2")
    return int(text)


def _mib(text: str) -> int:
    size = bytes_from(text)
    if size < _MIB:
        raise Refused(f"{text} of memory is less than a MiB", cure="write it like 512M or 4G")
    return size // _MIB


def _pairs(option: str, words: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    for word in words or ():
        key, sign, value = word.partition("=")
        if not key or not sign:
            raise Refused(f"{option} {word} is not ONE=OTHER", cure=f"write {option} {key or 'ONE'}=OTHER")
        yield key, value


def _of_cards(option: str, words: Sequence[str] | None) -> Iterator[tuple[str, str, str]]:
    for whole, value in _pairs(option, words):
        machine, sign, card = whole.rpartition("/")
        if not sign or not machine or not card:
            raise Refused(
                f"{option} {whole}={value} does not say which card of which machine",
                cure=f"write {option} MACHINE/CARD={value}; `bascule replica shape STORE GROUP` shows them",
            )
        yield machine, card, value
