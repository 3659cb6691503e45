"""``bascule protect`` and ``bascule unprotect``: say that a machine is to be replicated, and not any more."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.tools import Tools
from bascule.front.cli.words.belonging import must_be_here
from bascule.front.cli.words.options import Json, KeyFilePath, Store, tools_of
from bascule.front.cli.words.quantities import seconds_from
from bascule.model import belonging
from bascule.model.belonging import Belonging
from bascule.model.errors import BasculeError, Missing, Refused, Unavailable
from bascule.model.items import Wish, name_of
from bascule.model.policies import AUTO, INTERVALS, OFF, Policy
from bascule.ports.hypervisors import Hypervisor
from bascule.replication.provider.folder import ItemFolder, ProviderFolder

from .checking import complaints, found_lines
from .naming import FolderPath, GroupName, provider_of

_DEFAULT = Policy()

Machines = Annotated[
    list[str],
    typer.Argument(metavar="MACHINE...", help="QMP sockets, or HOST#NAME of a host.", show_default=False),
]
Group = Annotated[
    str,
    typer.Option(
        "--group", metavar="GROUP", help="The replication group. [the socket's name]", show_default=False
    ),
]
Every = Annotated[
    str, typer.Option("--every", metavar="TIME", help="How often a point is made: 1s, 5s, 30s, 5m or 15m.")
]
Keep = Annotated[
    str, typer.Option("--keep", metavar="LADDER", help="Which points stay as they age: AGE:INTERVAL,…")
]
Rpo = Annotated[
    str, typer.Option("--rpo", metavar="TIME", help="An RPO above this is an event and a warning.")
]
Hours = Annotated[
    str,
    typer.Option(
        "--resync-hours",
        metavar="HOURS",
        help="When a resync may begin by itself: DAYS/HH:MM-HH:MM,… or any, or never.",
    ),
]


Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="DISK",
        help="Leave a disk out: DISK, or MACHINE/DISK; may be repeated.",
        show_default=False,
    ),
]
Consistent = Annotated[
    str,
    typer.Option(
        "--consistent-every",
        metavar="TIME",
        help="How often a point finds guests and applications at rest: 1h. [never]",
        show_default=False,
    ),
]
Agent = Annotated[
    str,
    typer.Option(
        "--agent",
        metavar="auto|off|SOCKET",
        help="Who freezes the guest for that: its agent, at the channel that the host knows or SOCKET.",
    ),
]
Before = Annotated[
    str,
    typer.Option(
        "--before", metavar="COMMAND", help="Run on this host before that; 30 s at most.", show_default=False
    ),
]
After = Annotated[
    str,
    typer.Option("--after", metavar="COMMAND", help="Run on this host after it, always.", show_default=False),
]
Cluster = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="NAME",
        help="The machine may move between hosts: say this on each of them, with the same group.",
        show_default=False,
    ),
]
Application = Annotated[
    list[str] | None,
    typer.Option(
        "--application",
        metavar="[MACHINE=]NAME",
        help="Make postgresql, mysql or mariadb in the guest ready for that, by its agent; may be repeated.",
        show_default=False,
    ),
]
OwnLimit = Annotated[
    str,
    typer.Option(
        "--limit",
        metavar="RATE",
        help="Bytes a second for this group, beside the host's limit: 5M, or 5M,1M@mon-fri/08:00-18:00.",
        show_default=False,
    ),
]
OwnWorkers = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        max=64,
        metavar="N",
        help="Threads that compress and seal for this group. [the provider's]",
        show_default=False,
    ),
]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="Take the group over from whoever writes it: that stops for good.")
]


def protect(
    context: typer.Context,
    *,
    machines: Machines,
    store: Store,
    folder: FolderPath = None,
    group: Group = "",
    every: Every = "30s",
    keep: Keep = _DEFAULT.retention,
    rpo: Rpo = "15m",
    resync_hours: Hours = _DEFAULT.resync_hours,
    exclude: Exclude = None,
    consistent_every: Consistent = "",
    agent: Agent = AUTO,
    before: Before = "",
    after: After = "",
    application: Application = None,
    limit: OwnLimit = "",
    workers: OwnWorkers = 0,
    cluster: Cluster = "",
    take_over: TakeOver = False,
    check: Annotated[bool, typer.Option(help="Look first whether all that is needed is there.")] = True,
    key_file: KeyFilePath = None,
    is_json: Json = False,
) -> None:
    """Have the provider of this host keep a running machine replicated, and return at once.

    The provider begins with a full copy, and goes on with what changes: `bascule status` shows it.
    Given again for the same group, this changes what is wanted of it; nothing starts anew.
    With `--cluster` the machine may move to a host that was told the same: whoever finds it running goes on.

    With `--consistent-every` the guest's agent freezes its file systems around the instant of a point, ten
    seconds at most; the channel of an adopted QEMU lies beside its QMP socket: web.agent, web.qmp. Commands
    find BASCULE_GROUP and BASCULE_MACHINES. What fails makes a crash-consistent point, and an event.

    \b
    Examples:
      bascule protect /run/vm/web.qmp /srv/points --folder /srv/provider --every 5s
      bascule protect /run/vm/web.qmp s3://backup/points --keep 2h:all,24h:1h --resync-hours any
      bascule protect /srv/host#db /srv/points --consistent-every 1h --application postgresql
      bascule protect /srv/host#db /srv/points --cluster blue --limit 5M --before 'hold on' --after 'hold off'
    """
    policy = Policy(
        interval_seconds=seconds_from(every),
        retention=keep,
        rpo_threshold_seconds=seconds_from(rpo),
        resync_hours=resync_hours,
        app_consistent_seconds=seconds_from(consistent_every or "0s"),
        agent=_agent(agent, machines),
        before=_command(before),
        after=_command(after),
        applications=tuple(application or ()),
        limit=_limit(limit),
        workers=workers,
    )
    tools, words = tools_of(context), tuple(map(_machine, machines))
    found = (_group_name(group, machines), words, _place(store), _key_of(tools, key_file), policy)
    wanted = Wish(*found, exclude=tuple(exclude or ()), cluster=cluster)
    _put_down(tools, provider_of(tools, folder), wanted, Screen(is_json=is_json), (check, take_over))
    _tell_hosts(tools, wanted)


def _tell_hosts(tools: Tools, wish: Wish) -> None:
    """Write beside the machines which group they belong to: who starts one by hand is told."""
    text = belonging.written(Belonging(wish.store, wish.group, wish.key_file))
    for host, name in _of_hosts(tools, wish):
        host.mark(name, text)


def _of_hosts(tools: Tools, wish: Wish) -> Iterator[tuple[Hypervisor, str]]:
    """Yield the machines of a group that are a host's: it is told what they belong to."""
    for words in wish.machines:
        place, is_named, name = words.partition("#")
        if is_named:
            with suppress(Unavailable, Missing):
                host = tools.open_hypervisor(place)
                if name in host.machines():
                    yield host, name


def unprotect(
    context: typer.Context, group: GroupName, folder: FolderPath = None, is_json: Json = False
) -> None:
    """Stop replicating a group, and leave nothing at its machines. Its points stay in the store.

    \b
    Examples:
      bascule unprotect web --folder /srv/provider
    """
    tools, screen = tools_of(context), Screen(is_json=is_json)
    provider = provider_of(tools, folder)
    item = provider.existing(group)
    before = item.wish()
    item.change(lambda _: None)
    if before is not None:
        for host, name in _of_hosts(tools, before):
            with suppress(BasculeError):  # one that went over to another side stays marked
                must_be_here(tools, host, name)
                host.mark(name, "")
    if not provider.heartbeat().is_running and before is not None:
        from bascule.replication.provider.item import release

        from .running import workshop

        release(before, item, workshop(tools))
    screen.show({"group": group}, [f"Group {group} is not replicated any more; its points stay."])


def _group_name(group: str, machines: list[str]) -> str:
    if len({name_of(machine) for machine in machines}) < len(machines) or (machines[1:] and not group):
        raise Refused(
            "several machines make one group: it needs a name, and so does each of them",
            cure="name it with --group, and give sockets of one group different names",
        )
    return group or name_of(machines[0])


def _put_down(
    tools: Tools, provider: ProviderFolder, wanted: Wish, screen: Screen, asked: tuple[bool, bool]
) -> None:
    """Write a wish down, if need be after a look, or a take-over; say whether somebody is there to obey."""
    item = provider.item(wanted.group)
    is_checked, is_taken = asked
    if is_checked:
        wanted = _checked(tools, screen, item, wanted, take_over=is_taken)
    written = item.change(lambda before: _merged(before, wanted))
    assert written is not None
    is_running = provider.heartbeat().is_running
    hint = "" if is_running else f" No provider runs there: `bascule provider run {provider.path}`."
    document = {"group": wanted.group, "generation": written.generation, "is_running": is_running}
    every = INTERVALS[wanted.policy.interval_seconds]
    words = f"Group {wanted.group} is to be replicated into {written.store} every {every}.{hint}"
    screen.show(document, [words])


def _checked(tools: Tools, screen: Screen, item: ItemFolder, wanted: Wish, *, take_over: bool) -> Wish:
    """Say what is there and what is missing; refuse what cannot begin."""
    found = complaints(tools, item, wanted, is_new=item.stamp() is None, take_over=take_over)
    for line in found_lines(found):
        screen.note(line)
    found.refuse()
    return replace(wanted, take_over=found.head if take_over else "", called=found.called)


def _merged(before: Wish | None, wanted: Wish) -> Wish:
    if before is None:
        return wanted
    return replace(
        wanted,
        generation=before.generation,
        is_paused=before.is_paused,
        resync=before.resync,
        take_over=wanted.take_over or before.take_over,
        command=before.command,
    )


def _machine(words: str) -> str:
    place, hash_sign, name = words.partition("#")
    is_path = not words.startswith(("fake:", "libvirt:", "libvirt+"))
    return f"{Path(place).absolute()}{hash_sign}{name}" if is_path else words


def _limit(rates: str) -> str:
    from bascule.front.cli.words.rates import schedule_from

    if rates:
        schedule_from(rates)
    return rates


def _agent(words: str, machines: list[str]) -> str:
    if words in (AUTO, OFF):
        return words
    if len(machines) > 1:
        raise Refused("one socket is no agent for several machines", cure="say --agent auto, or off")
    return str(Path(words).absolute())


def _command(words: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(words))
    except ValueError as error:
        raise Refused(
            f"{words!r} is no command: {error}", cure="quote it as a shell would want it"
        ) from error


def _place(store: str) -> str:
    return store if "://" in store else str(Path(store).absolute())


def _key_of(tools: Tools, option: Path | None) -> str:
    """The provider opens the store while nobody is there to be asked."""
    named = str(option or tools.settings.get("BASCULE_KEY_FILE", ""))
    if not named:
        raise Refused(
            "no key file was named, and the provider has nobody to ask for a passphrase",
            cure="name one: --key-file FILE or BASCULE_KEY_FILE; `bascule key create` makes one",
            code="no-key",
        )
    return str(Path(named).absolute())
