"""``bascule replica hand-over``, ``fail-back`` and ``release``: machines change sides in order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.front.cli.printing.screen import Screen
from bascule.front.cli.words.agreeing import Yes, agreed
from bascule.front.cli.words.options import Host, Json, KeyFilePath, PassphrasePath, Store, tools_of
from bascule.front.cli.words.quantities import bytes_text, seconds_from

from .agreeing import of_hand_over, of_release, of_return
from .asking import HOME, Words, asked_from, saying
from .leaving import Leaving
from .words import Folder, Group, Where, show, site_of

if TYPE_CHECKING:
    from bascule.recovery.shapes.shape import Shape
    from bascule.recovery.site import Site

Provider = Annotated[
    Path | None,
    typer.Option(
        "--provider",
        metavar="FOLDER",
        help="The provider that replicates the group on this host. Or set BASCULE_PROVIDER. [none]",
        show_default=False,
    ),
]

Full = Annotated[
    bool,
    typer.Option(
        "--full",
        help="Download whole disks, compare none: after a month or more, or if the old machines are gone.",
    ),
]


def hand_over(
    context: typer.Context,
    *,
    store: Store,
    group: Group,
    within: Annotated[
        str, typer.Option("--within", metavar="TIME", help="How long a guest may take to power off: 30s, 5m.")
    ] = "5m",
    provider: Provider = None,
    yes: Yes = False,
    host: Host = "",
    folder: Folder = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Shut the machines of a group down, send their last changes, and leave them to the other side.

    Run it where the machines run. Nothing is lost: the newest point is then all that they ever wrote, and
    the store says so. Then run `bascule replica fail-over`, or `fail-back`, on the other side. A guest that
    does not power off runs on, and nothing is handed over.

    \b
    Example:
      bascule replica hand-over /srv/points web --host /srv/vm --within 2m
    """
    from bascule.recovery.pedigree import current
    from bascule.replication.provider.folder import ProviderFolder

    screen, tools = Screen(is_json=is_json), tools_of(context)
    where = Where(store, host, folder, key_file, passphrase_file)
    named = str(provider or tools.settings.get("BASCULE_PROVIDER", ""))
    place = ProviderFolder(Path(named).absolute()) if named else None
    with site_of(context, where, screen) as site:
        leaving = Leaving(tools, site, place, current(site.vault, group))
        agreed(screen, of_hand_over(leaving.log, leaving.members), yes=yes)
        number = leaving.hand_over(seconds_from(within))
    log = leaving.log
    document = {"group": log, "point": number, "machines": list(leaving.members)}
    screen.show(document, [f"{log} is handed over with point {log}/{number}; nothing is missing behind it."])


@saying(*HOME)
def fail_back(
    context: typer.Context,
    *,
    store: Store,
    group: Group,
    full: Full = False,
    said: Words,
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", min=1, max=64, help="Threads that compare and download.")
    ] = 3,
    yes: Yes = False,
    host: Host = "",
    folder: Folder = None,
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Bring machines home to the disks they left; only what differs travels.

    Run it where they came from, once or more often while they still run on the other side: new images beside
    the old disks become equal to the newest point. Then run `bascule replica hand-over` on the other side,
    and this once more: the last changes follow, and the machines start here. Until `commit` it can be
    cancelled, and what was here before is here again. What these disks held that was never replicated is
    kept first, as a group of its own. A machine or a disk that is not here any more is made anew, whole,
    with networks of the same names.

    To synchronise before, as above, shortens the downtime: do so in general, and always for another location.
    But after a month or more away, or if the old machines are gone, hand over first and then ask once, with
    --full: whole disks travel, and none is compared. The old ones stay, and `commit` says where they lie.

    \b
    Examples:
      bascule replica fail-back /srv/points web --host /srv/vm
      bascule replica fail-back /srv/points web --host /srv/vm --threads 8
      bascule replica fail-back /srv/points web --host /srv/vm --full
    """
    from bascule.recovery.pedigree import returning
    from bascule.recovery.shapes.shape import Shape

    screen, shape = Screen(is_json=is_json), Shape((asked_from(said),))
    where = Where(store, host, folder, key_file, passphrase_file, threads)
    with site_of(context, where, screen) as site:
        agreed(screen, of_return(site, returning(site, group)[0]), yes=yes)
        _bring_home(site, group, shape, screen, full=full)


def _bring_home(site: Site, group: str, shape: Shape, screen: Screen, *, full: bool) -> None:
    """Do what is next of a failback, and say what it was."""
    from bascule.recovery import fail_back as failing_back
    from bascule.recovery.generations import is_handed_over
    from bascule.recovery.pedigree import returning
    from bascule.recovery.record import Phase

    log, phase = returning(site, group)
    written = fetched = 0
    if phase is None or phase is Phase.SYNCING:
        record, did = failing_back.synchronise(site, log, shape, whole=full)
        written, fetched = did.written_bytes, did.fetched_bytes
        if not is_handed_over(site.vault, log):
            sentence = (
                f"Level with {log}/{record.number}: {bytes_text(written)} written. Now hand over on the"
                " other side (`bascule replica hand-over`), and ask for this again."
            )
            show(screen, record, sentence, written_bytes=written, fetched_bytes=fetched)
            return
    record, did = failing_back.complete(site, log)
    written, fetched = written + did.written_bytes, fetched + did.fetched_bytes
    machines = ", ".join(member.definition.name for member in record.members)
    sentence = (
        f"Home again as of {log}/{record.number}: {machines}; {bytes_text(written)} written."
        f" Replicate on as group {record.log}. Commit with `bascule replica commit`, or `cancel`."
    )
    show(screen, record, sentence, written_bytes=written, fetched_bytes=fetched)


def release(
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
    """Remove recovered machines and their disks from this host, after they went home.

    Refused while they belong here, and until the failback is committed over there.

    \b
    Example:
      bascule replica release /srv/points web --host /srv/vm
    """
    screen, where = Screen(is_json=is_json), Where(store, host, folder, key_file, passphrase_file)
    logs = cleared(context, where, group, screen, yes=yes)
    screen.show({"group": group, "released": logs}, [f"Nothing of {group} is left here."])


def cleared(
    context: typer.Context, where: Where, group: str, screen: Screen, *, yes: bool = True
) -> list[str]:
    """Remove the recovered machines of a group from a host; return the generations that they were of."""
    from bascule.recovery.fail_over import release as released
    from bascule.recovery.pedigree import recorded
    from bascule.recovery.record import Kind

    with site_of(context, where, screen) as site:
        logs = recorded(site, group, Kind.FAILOVER)
        agreed(screen, of_release(site, logs), yes=yes)
        for log in logs:
            released(site, log)
    return logs
