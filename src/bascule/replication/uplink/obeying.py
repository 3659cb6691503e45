"""Commands of the vault become wishes.

What a vault may not do: name commands to be run on this host, or sockets to be spoken to. Whoever took a
vault over gets what replication can do, not the host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bascule.model.errors import Damaged, Missing, Refused
from bascule.model.generations import family, number_of
from bascule.model.items import Wish
from bascule.model.policies import AUTO, OFF, Policy
from bascule.model.vault.commands import Command, Result
from bascule.replication.provider.folder import ItemFolder, ProviderFolder
from bascule.wire.control.strict import Fields

_MACHINES_MAX = 64
_DISKS_MAX = 256


def obey(folder: ProviderFolder, command: Command) -> Result:
    """Carry a command out once, and say what became of it. A group is let go of with all its generations.

    Errors that pass are raised, and nothing was done.
    """
    try:
        if command.verb == "unprotect":
            for item in folder.items():
                if family(item.group) == command.group != item.group:
                    item.change(lambda _wish: None)
        return Result.of(command, None, _obeyed(_meant(folder, command), command))
    except (Refused, Damaged) as error:
        return Result.of(command, error)


def _meant(folder: ProviderFolder, command: Command) -> ItemFolder:
    """Return the group that is named, or the generation of it that this host has."""
    named = folder.item(command.group)
    if command.verb == "protect" or named.stamp() is not None:
        return named
    mine = (item for item in folder.items() if family(item.group) == command.group)
    return max(mine, key=lambda item: number_of(item.group), default=named)


def wished(before: Wish | None, command: Command) -> Wish:
    """Return what a command to protect a group would have wished, and wish nothing."""
    return _protect(before or Wish(command.group, (), ""), Fields(command.arguments))


class _Done(Exception):
    """The wish names the command already."""

    def __init__(self, generation: int) -> None:
        super().__init__(generation)
        self.generation = generation


def _obeyed(item: ItemFolder, command: Command) -> int:
    if command.verb not in _VERBS:
        raise Refused(
            f"this host does not know the command {command.verb}",
            cure="bring the host up to the vault's version",
            code="unknown-command",
        )
    if command.verb != "protect" and item.stamp() is None:
        if command.verb == "unprotect":
            return 0
        raise Missing(f"{command.group} is not protected here", cure="protect it first", code="not-protected")
    try:
        written = item.change(lambda before: _changed(before, command))
    except _Done as done:
        return done.generation
    return written.generation if written else 0


def _changed(before: Wish | None, command: Command) -> Wish | None:
    if before is not None and before.command == command.id:
        raise _Done(before.generation)
    after = _VERBS[command.verb](before or Wish(command.group, (), ""), Fields(command.arguments))
    return after and replace(after, command=command.id)


def _protect(before: Wish, asked: Fields) -> Wish:
    machines = asked.texts("machines", _MACHINES_MAX)
    if not machines:
        raise Refused("no machine is named", cure="name one", code="malformed")
    return replace(
        before,
        machines=machines,
        store=asked.text("store", 4096),
        key_file=asked.text("key_file", 4096),
        policy=_policy(before.policy, Fields(asked.mapping("policy"))),
        exclude=asked.texts("exclude", _DISKS_MAX),
        include=asked.texts("include", _DISKS_MAX),
    )


def _policy(before: Policy, asked: Fields) -> Policy:
    """Return a policy.

    Commands around an instant, and a guest agent's socket, are for this host's operator to name.
    """
    agent = asked.text("agent", default=before.agent)
    if agent not in (AUTO, OFF, before.agent):
        raise Refused(
            f"the agent can be {AUTO} or {OFF}", cure="name a socket on the host itself", code="malformed"
        )
    return replace(
        before,
        interval_seconds=asked.whole("interval_seconds", default=before.interval_seconds),
        retention=asked.text("retention", default=before.retention),
        rpo_threshold_seconds=asked.whole("rpo_threshold_seconds", default=before.rpo_threshold_seconds),
        resync_hours=asked.text("resync_hours", default=before.resync_hours),
        app_consistent_seconds=asked.whole("app_consistent_seconds", default=before.app_consistent_seconds),
        agent=agent,
    )


def _follow(before: Wish, asked: Fields) -> Wish:
    return replace(before, policy=_policy(before.policy, Fields(asked.mapping("policy"))))


def _resume(before: Wish, asked: Fields) -> Wish:
    """Go on; a group that somebody took over only by the name of the session that may be fenced."""
    take_over = asked.text("take_over", default="")
    return replace(before, is_paused=False, hand_over=False, take_over=take_over or before.take_over)


_VERBS: dict[str, Callable[[Wish, Fields], Wish | None]] = {
    "protect": _protect,
    "follow-policy": _follow,
    "unprotect": lambda _before, _asked: None,
    "pause": lambda before, _asked: replace(before, is_paused=True),
    "resume": _resume,
    "resync": lambda before, _asked: replace(before, resync=before.resync + 1),
}
