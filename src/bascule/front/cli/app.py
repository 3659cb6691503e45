"""The commands, put together.

A process runs one command, so it loads one: all of them together took a quarter of the time of a small
copy. Each imports what it works with when it runs.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from .printing.screen import say

# Where the command or the nouns' own commands live that a word stands for, and what ``--help`` says of it:
# in its own words, which a test compares, so that the list of all loads none of them.
_SHELF = {
    "Stores and points": {
        "store": ("store:app", "Make a store for points, look into it, check it."),
        "key": ("key:app", "Say who can open a store: key files and passphrases."),
        "copy": ("copy:copy", "Copy the disks of a machine into one recovery point."),
        "restore": ("restore:restore", "Write the disks of a point to files, devices or NBD exports."),
        "serve-point": (
            "serve_point:serve_point",
            "Serve the disks of a point at once, over NBD, until Ctrl-C.",
        ),
        "replicate": (
            "replicate:replicate",
            "Replicate running QEMU machines: a point at once, then one after another of what changed.",
        ),
    },
    "On a host of machines": {
        "machine": ("machine.app:app", "See, define, start and end the machines of a host."),
        "provider": (
            "provider.running:app",
            "Keep the machines of this host replicated, with or without anything above it.",
        ),
        "protect": (
            "provider.protecting:protect",
            "Have the provider of this host keep a running machine replicated, and return at once.",
        ),
        "unprotect": (
            "provider.protecting:unprotect",
            "Stop replicating a group, and leave nothing at its machines.",
        ),
        "status": (
            "provider.status:status",
            "Show how well each protected group is, how far it is, and how old what is safe of it is.",
        ),
        "pause": ("provider.wishing:pause", "Stop making points of a group until `bascule resume`."),
        "resume": (
            "provider.wishing:resume",
            "Go on with a group that is paused, or that waits for a person after an error.",
        ),
        "resync": (
            "provider.wishing:resync",
            "Compare a group's disks with the store now, and send what differs.",
        ),
        "replica": (
            "replica.app:app",
            "Take machines over to this host from their points, and give them back.",
        ),
    },
    "On the machine of a server": {
        "serve": (
            "vault.serve:serve",
            "Run vaults on this machine, until Ctrl-C or SIGTERM: their jobs, the hosts' door, the API.",
        ),
        "owner": (
            "vault.owner:owner",
            "Ask a server on this machine without signing in, as the user that it runs as.",
        ),
        "door": ("door.app:app", "Let hosts join a vault: registration keys, who is there, the door itself."),
    },
    "From anywhere, at a server": {
        "login": (
            "people.login:login",
            "Sign in at a server, and remember it as a profile, for all commands from then on.",
        ),
        "logout": ("people.login:logout", "Forget a profile, with its secret or session and its token."),
        "profile": (
            "people.profile:app",
            "Servers that you signed in at (`bascule login`), and which of them is meant.",
        ),
        "vault": (
            "vault.app:app",
            "Vaults of a server: places for sites, hosts, items and jobs, which see nothing of each other.",
        ),
        "site": ("sides.site:app", "Sites of a vault: places with hosts, which join by a registration key."),
        "host": (
            "sides.host:app",
            "Hosts that joined a vault by a key of a site (`bascule site key`, `bascule provider register`).",
        ),
        "policy": (
            "sides.policy:app",
            "Policies of a vault: how often a recovery point is made, and how long it is kept.",
        ),
        "mapping": (
            "sides.mapping:app",
            "Protection groups of a vault: the machines of a site, a policy, and where they lead.",
        ),
        "item": (
            "item.app:app",
            "Protected machines of a vault: protect, test, fail over, commit, come home.",
        ),
        "point": ("item.point:app", "Recovery points of an item, any of which it can be started from."),
        "job": ("watching.job:app", "Jobs of a vault. Each ends as it would have, whatever dies meanwhile."),
        "event": (
            "watching.event:app",
            "What happened in a vault: each line comes once, when something begins to be wrong or is over.",
        ),
        "alert": ("watching.alert:app", "Who is told by mail of what happens in a vault."),
        "record": (
            "watching.record:app",
            "The record of a vault: who did what, who looked, and who was refused.",
        ),
        "principal": (
            "people.principal:app",
            "Service principals of a server: programs and scripts that sign in by a secret.",
        ),
        "user": ("people.user:app", "People of a server, who sign in by a password of their own."),
        "role": ("people.role:app", "Who may do what in a vault."),
    },
    "For your shell": {
        "completion": (
            "completion.app:completion",
            "Print what makes your shell complete the words of bascule.",
        ),
        "complete": ("completion.app:complete", "Print what a word may become: what the shell asks."),
    },
}
WORDS = {word: kept for section in _SHELF.values() for word, kept in section.items()}
AT_A_SERVER = frozenset(_SHELF["From anywhere, at a server"])

_HELP = """Keep recovery points of disks, and get them back.

\b
A first tour, from a disk image to a point and back:
  bascule key create main.key
  export BASCULE_KEY_FILE=main.key
  bascule store init /srv/points
  bascule copy /vm/web.qcow2 /srv/points --group web
  bascule store ls /srv/points web
  bascule restore /srv/points web/latest /vm/web-again.qcow2

Machines that run are kept replicated by `bascule provider run`, which `bascule protect` tells of them;
or hosts join a server (`bascule serve`), and `bascule item` commands them from anywhere.

Every command knows --help and --json. Exit codes: 0 done, 2 refused, 3 unavailable (ask again later),
4 damaged, 130 stopped on request.
"""


class _Shelf(TyperGroup):
    """Knows all words, and loads what one stands for when it is run."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands.update({word: TyperCommand(word, help=said) for word, (_, said) in WORDS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that is meant; others are suggested where none is."""
        if args and args[0] in WORDS:
            self.commands[args[0]] = command(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        """List the words by where they are of use."""
        width = max(len(word) for word in WORDS)
        for title, section in _SHELF.items():
            with formatter.section(title):
                formatter.write_dl([(word.ljust(width), said) for word, (_, said) in section.items()])


def build() -> typer.Typer:
    """Return the app; start it with ``obj`` set to the tools."""
    return _app(cls=_Shelf)


@cache
def command(word: str) -> TyperCommand | TyperGroup:
    """Return what a word stands for."""
    place, _, name = WORDS[word][0].partition(":")
    found = getattr(import_module(f".{place}", __package__), name)
    app = _app()
    if isinstance(found, typer.Typer):
        app.add_typer(found)
    else:
        app.command(word)(found)
    group: Any = get_command(app)
    loaded: TyperCommand | TyperGroup = group.commands[word]
    return loaded


def _app(**settings: Any) -> typer.Typer:
    app = typer.Typer(
        name="bascule",
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        **settings,
    )
    app.callback()(_top)
    return app


def _say_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        say(f"bascule {version('bascule')}")
        raise typer.Exit


def _top(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_say_version),
    ] = False,
) -> None:
    """Know the options that come before a command."""
