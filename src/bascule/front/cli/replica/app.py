"""The verbs of ``bascule replica`` on the host that takes machines over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.words.agreeing import Yes, agreed
from bascule.front.cli.words.naming import PointName
from bascule.front.cli.words.options import Host, Json, KeyFilePath, PassphrasePath, Store, tools_of

from .agreeing import of_cancel, of_commit, of_failover, of_other_point
from .asking import COPIED, RECOVERED, Words, asked_from, saying
from .returning import cleared, fail_back, hand_over, release
from .shaping import shape
from .standing import status_lines, taken_over, tests_that_count
from .words import Folder, Group, Point, Where, show, site_of

if TYPE_CHECKING:
    from bascule.recovery.record import Record

app = typer.Typer(
    name="replica",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Take machines over to this host from their points, and give them back.",
)


@app.command("fail-over")
@saying(*RECOVERED)
def fail_over(
    context: typer.Context,
    *,
    store: Store,
    point: Point,
    said: Words,
    no_hydration: Annotated[
        bool, typer.Option("--no-hydration", help="Leave the data in the store, and read it from there.")
    ] = False,
    yes: Yes = False,
    host: Host = "",
    folder: Folder = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Start the machines of a group on this host, straight from the store.

    First the group is taken over: whoever wrote it, should it live, can publish nothing more. The machines
    run at once whatever the size of their disks; what they write is kept in --folder, and the data follows
    from the store behind them. Until `commit` another point can be chosen, or all of it cancelled. Asking
    again goes on where a failover was interrupted.

    The machines are what they were at the point, unless `bascule replica shape` kept something else for this
    host; what is said here comes before that.

    \b
    Examples:
      bascule replica fail-over /srv/points web --host /srv/vm
      bascule replica fail-over s3://backup/points web/311 --host /srv/vm --network lan=dmz --memory 2G
      bascule replica fail-over /srv/points shop --cpus 2 --cpus db=8 --card db/net1=backup
    """
    from bascule.recovery import fail_over as failing_over
    from bascule.recovery.pedigree import meant
    from bascule.recovery.record import Kind
    from bascule.recovery.shapes.kept import kept

    screen, name = Screen(is_json=is_json), PointName.parse(point)
    where = Where(store, host, folder, key_file, passphrase_file)
    asked = asked_from(said)
    with name.sought(), site_of(context, where, screen) as site:
        log = meant(site, name.group, name.number, Kind.FAILOVER)
        agreed(screen, of_failover(site, tools_of(context).clock, log, name.number), yes=yes)
        wanted = kept(site.records, log).shape(asked)
        record = failing_over.fail_over(site, log, wanted, name.number, hydrate=not no_hydration)
    show(screen, record, _running(record, "Commit it with `bascule replica commit`, or `cancel` it."))


@app.command("change-point")
@saying(*RECOVERED)
def change_point(
    context: typer.Context,
    *,
    store: Store,
    point: Point,
    said: Words,
    yes: Yes = False,
    host: Host = "",
    folder: Folder = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Start the machines of a failover anew from another point; what they wrote here is thrown away.

    They are what `fail-over` was asked to make of them, where nothing else is asked now.

    \b
    Example:
      bascule replica change-point /srv/points web/290 --host /srv/vm
    """
    from bascule.recovery.fail_over import change_point as changed
    from bascule.recovery.pedigree import taken
    from bascule.recovery.shapes.kept import kept

    screen, name = Screen(is_json=is_json), PointName.parse(point)
    where = Where(store, host, folder, key_file, passphrase_file)
    asked = asked_from(said)
    with name.sought(), site_of(context, where, screen) as site:
        log = taken(site, name.group, name.number)
        agreed(screen, of_other_point(site, log, name.number), yes=yes)
        record = changed(site, log, kept(site.records, log).shape(asked), name.number)
    show(screen, record, _running(record, "Commit it with `bascule replica commit`, or `cancel` it."))


@app.command()
def commit(
    context: typer.Context,
    *,
    store: Store,
    group: Group,
    keep_points: Annotated[
        bool, typer.Option("--keep-points", help="Leave the other points to the retention of the group.")
    ] = False,
    recovered_host: Annotated[
        str,
        typer.Option(
            "--recovered-host",
            metavar="FOLDER",
            help="After a failback: the host where the machines ran meanwhile, to be cleared. [none]",
        ),
    ] = "",
    recovered_folder: Annotated[
        Path | None,
        typer.Option(
            "--recovered-folder", metavar="FOLDER", help="And the --folder of it.", show_default=False
        ),
    ] = None,
    yes: Yes = False,
    host: Host = "",
    folder: Folder = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Let a failover or a failback stay. It cannot be cancelled any more; the way back is a failback.

    The other points of the side that was left are removed, which nobody goes back to; locked ones stay, and
    its newest. After a failback the recovered machines and their disks are removed too, if their host can be
    reached from here (--recovered-host), or else by `bascule replica release` over there. Asking again goes
    on where a commit was interrupted.

    \b
    Examples:
      bascule replica commit /srv/points web --host /srv/vm
      bascule replica commit /srv/points web --keep-points
      bascule replica commit /srv/points web --recovered-host /mnt/two/vm --recovered-folder /mnt/two/replicas
    """
    from bascule.recovery import fail_back, fail_over
    from bascule.recovery.pedigree import decided
    from bascule.recovery.record import Kind

    screen, where = Screen(is_json=is_json), Where(store, host, folder, key_file, passphrase_file)
    with site_of(context, where, screen) as site:
        log, kind = decided(site, group)
        agreed(screen, of_commit(site, log, kind, keeps_points=keep_points), yes=yes)
        verb = fail_back if kind is Kind.FAILBACK else fail_over
        record = verb.commit(site, log, keeps_points=keep_points)
    if kind is Kind.FAILBACK and recovered_host:
        cleared(context, where._replace(host=recovered_host, folder=recovered_folder), group, screen)
    machines = " ".join(f"HOST#{member.definition.name}" for member in record.members)
    then = f"`bascule protect {machines} STORE --group {record.log} --take-over`"
    show(screen, record, f"{group} is here to stay. To replicate it from here: {then}.")


@app.command()
def cancel(
    context: typer.Context,
    *,
    store: Store,
    group: Group,
    yes: Yes = False,
    host: Host = "",
    folder: Folder = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Take a failover or failback back that is not committed: what its machines wrote here is thrown away.

    After a failover nothing is left here, and the other side stays fenced until somebody there says that it
    may replicate on. After a failback the machines here are what they were before it, and off.

    \b
    Example:
      bascule replica cancel /srv/points web --host /srv/vm
    """
    from bascule.recovery import fail_back, fail_over
    from bascule.recovery.pedigree import decided
    from bascule.recovery.record import Kind

    screen, where = Screen(is_json=is_json), Where(store, host, folder, key_file, passphrase_file)
    with site_of(context, where, screen) as site:
        log, kind = decided(site, group)
        agreed(screen, of_cancel(site, log, kind), yes=yes)
        (fail_back if kind is Kind.FAILBACK else fail_over).cancel(site, log)
    screen.show({"group": group, "phase": "cancelled"}, [f"The {kind.value} of {log} is cancelled."])


@app.command()
def start(
    context: typer.Context,
    *,
    store: Store,
    group: Group,
    host: Host = "",
    folder: Folder = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Serve the disks of machines that were taken over, and start them: after this host was down.

    Nothing starts by itself. Refused if the machines have left for another host meanwhile, or were handed
    over to one, so it can be run whenever this host comes up.

    \b
    Example:
      bascule replica start /srv/points web --host /srv/vm
    """
    from bascule.recovery.fail_over import bring_up
    from bascule.recovery.pedigree import recorded
    from bascule.recovery.record import Kind

    screen, where = Screen(is_json=is_json), Where(store, host, folder, key_file, passphrase_file)
    with site_of(context, where, screen) as site:
        logs = recorded(site, group, Kind.FAILOVER)
        record = bring_up(site, logs[0] if logs else group)
    show(screen, record, _running(record, "What they wrote before is there."))


@app.command("test")
@saying(*COPIED)
def rehearse(
    context: typer.Context,
    *,
    store: Store,
    point: Point,
    said: Words,
    host: Host = "",
    folder: Folder = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Start copies of the machines beside the real ones, cut off from them; replication goes on.

    They are called NAME-test, and their cards hang loose and have new addresses; `bascule replica shape
    --for-test` keeps what else they are to be, and what is said here comes before that. Remove all of it with
    `clean-up`.

    \b
    Examples:
      bascule replica test /srv/points web --host /srv/vm
      bascule replica test /srv/points web/311 --host /srv/vm --network isolated
      bascule replica test /srv/points shop --card web/net0=isolated --card web/net1=user --mac web/net1=keep
    """
    from bascule.recovery.pedigree import meant
    from bascule.recovery.record import Kind
    from bascule.recovery.rehearsal import rehearse as rehearsed
    from bascule.recovery.shapes.kept import kept

    screen, name = Screen(is_json=is_json), PointName.parse(point)
    where = Where(store, host, folder, key_file, passphrase_file)
    asked = asked_from(said)
    with name.sought(), site_of(context, where, screen) as site:
        log = meant(site, name.group, name.number, Kind.TEST)
        record = rehearsed(site, log, kept(site.records, log).test_shape(asked), name.number)
    show(screen, record, _running(record, "Look at them, then `bascule replica clean-up`."))


@app.command("clean-up")
def clean_up(
    context: typer.Context,
    *,
    store: Store,
    group: Group,
    notes: Annotated[
        str, typer.Option("--notes", metavar="TEXT", help="What the test showed; kept beside its date.")
    ] = "",
    host: Host = "",
    folder: Folder = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Remove all of a test failover. Doing it again is harmless.

    \b
    Example:
      bascule replica clean-up /srv/points web --host /srv/vm --notes "boots, answers on port 443"
    """
    from bascule.recovery.pedigree import recorded
    from bascule.recovery.record import Kind
    from bascule.recovery.rehearsal import clean_up as cleaned_up

    screen, where = Screen(is_json=is_json), Where(store, host, folder, key_file, passphrase_file)
    with site_of(context, where, screen) as site:
        clock = tools_of(context).clock
        records = [cleaned_up(site, log, notes, clock) for log in recorded(site, group, Kind.TEST)]
    found = f"Nothing of the test of {group} is left." if records else f"There is no test of {group} here."
    screen.show({"group": group, "cleaned": bool(records)}, [found])


@app.command()
def status(
    context: typer.Context,
    *,
    store: Store,
    host: Host = "",
    folder: Folder = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Show what was taken over to this host, whether it runs, and which tests of failover count.

    A test counts when its clean-up was done too.

    \b
    Example:
      bascule replica status /srv/points --host /srv/vm
    """
    screen, where = Screen(is_json=is_json), Where(store, host, folder, key_file, passphrase_file)
    with site_of(context, where, screen) as site:
        machines, tests = taken_over(site), tests_that_count(site)
    document = {"machines": [dict(row) for row in machines], "tests": [dict(test) for test in tests]}
    screen.show(document, status_lines(machines, tests))


app.command("hand-over")(hand_over)
app.command("fail-back")(fail_back)
app.command()(release)
app.command()(shape)


def _running(record: Record, then: str) -> str:
    names = ", ".join(member.definition.name for member in record.members)
    return f"Running as of point {record.group}/{record.number}: {names}. {then}"
