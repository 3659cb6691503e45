"""The owner's calls: names and arguments in, what the desks return out, as JSON.

Whoever calls may open a socket that is the server's own user's only, so they are the server's owner, and
recorded by the name of their user.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from http import HTTPStatus
from typing import Any

from bascule.control.service.service import Service
from bascule.model.errors import BasculeError, Damaged, Missing, Refused, Unavailable
from bascule.model.policies import Policy
from bascule.model.vault.access import Caller, Role
from bascule.model.vault.item import Command
from bascule.model.vault.job import Act, JobId
from bascule.model.vault.route import Route
from bascule.model.vault.signs.alerts import AlertSettings
from bascule.model.vault.signs.event import Health
from bascule.model.vault.vault import GROUP, Vault
from bascule.wire.control.invitation import invitation_written
from bascule.wire.control.strict import Fields, parsed

from .desk import Answer, document

PREFIX = "/v1/"
_BODY_MAX = 1 << 20
_DISKS_MAX = 256
_LISTED = 1000
Call = Callable[[Service, Caller, Fields], object]


def answer(service: Service, names: Callable[[int], str], path: str, body: bytes, user: int) -> Answer:
    """Carry a call out."""
    try:
        call = CALLS.get(path.removeprefix(PREFIX))
        if call is None or not path.startswith(PREFIX):
            raise Missing(f"there is no call {path[:100]}", cure="bring both sides up to one version")
        caller = Caller(f"{names(user)} on this machine", is_owner=True)
        return document({"value": _plain(call(service, caller, parsed(body, _BODY_MAX)))})
    except BasculeError as error:
        said = {"family": _family(error), "code": error.code, "message": error.message, "cure": error.cure}
        return document({"error": said}, _status(error))


def _family(error: BasculeError) -> str:
    kinds = {Unavailable: "unavailable", Damaged: "damaged", Missing: "missing"}
    return next((word for kind, word in kinds.items() if isinstance(error, kind)), "refused")


def _status(error: BasculeError) -> HTTPStatus:
    if isinstance(error, Unavailable):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR if isinstance(error, Damaged) else HTTPStatus.BAD_REQUEST


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value


def _word(kind: Callable[[str], object], text: str, what: str) -> object:
    try:
        return kind(text)
    except ValueError as error:
        raise Refused(f"{text!r} is no {what}", code="malformed") from error


def _new_vault(asked: Fields) -> Vault:
    return Vault(asked.text("name"), group=asked.text("group", default=GROUP))


def _role(asked: Fields) -> Role:
    return Role(str(_word(Role, asked.text("role"), "role")))


def _policy(asked: Mapping[str, object]) -> Policy:
    known: dict[str, Any] = {name: value for name, value in asked.items() if name in Policy.__slots__}
    if known != asked:
        raise Refused(f"a policy has no {', '.join(sorted(asked.keys() - known.keys()))}", code="malformed")
    lists = {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
    try:
        return Policy(**{**known, **lists})
    except TypeError as error:
        raise Refused(f"this is no policy: {error}", code="malformed") from error


def _invite(service: Service, caller: Caller, asked: Fields) -> object:
    lasts, host = asked.whole("lasts_seconds"), asked.text("host", default="")
    invitation = service.fabrics.invite(caller, _vault(asked), asked.text("fabric"), lasts, host)
    return json.loads(invitation_written(invitation))


def _enable(service: Service, caller: Caller, asked: Fields) -> object:
    names = ("source", "machine", "recovery", "store", "key_file", "policy")
    words: Any = {name: asked.text(name, 4096) for name in names}
    route = Route(**words, disks=asked.texts("disks", _DISKS_MAX))
    return service.items.enable(caller, _vault(asked), asked.text("name"), route)


def _command(service: Service, caller: Caller, asked: Fields) -> object:
    command = Command(str(_word(Command, asked.text("command"), "command")))
    given = {name: str(value) for name, value in asked.mapping("input").items()}
    return service.items.command(caller, _vault(asked), asked.text("item"), command, given)


def _act(service: Service, caller: Caller, asked: Fields) -> object:
    act = Act(str(_word(Act, asked.text("act"), "act")))
    job = JobId(asked.text("job"))
    return service.jobs.act(caller, _vault(asked), job, act, asked.text("answer", 2000, default=""))


def _alerts(asked: Fields) -> AlertSettings:
    least = Health(str(_word(Health, asked.text("least"), "health")))
    return AlertSettings(_vault(asked), asked.texts("mailboxes", 100), asked.text("hook", 2000), least)


def _vault(asked: Fields) -> str:
    return asked.text("vault", 50)


CALLS: Mapping[str, Call] = {
    "vaults.list": lambda s, who, _: s.vaults.list(who),
    "vaults.create": lambda s, who, a: s.vaults.create(who, _new_vault(a)),
    "vaults.remove": lambda s, who, a: s.vaults.remove(who, _vault(a)),
    "vaults.roles": lambda s, who, a: s.vaults.roles(who, _vault(a)),
    "vaults.assign": lambda s, who, a: s.vaults.assign(who, _vault(a), a.text("name"), _role(a)),
    "vaults.unassign": lambda s, who, a: s.vaults.unassign(who, _vault(a), a.text("name")),
    "vaults.deeds": lambda s, who, a: s.vaults.deeds(who, _vault(a), _LISTED),
    "fabrics.list": lambda s, who, a: s.fabrics.list(who, _vault(a)),
    "fabrics.create": lambda s, who, a: s.fabrics.create(who, _vault(a), a.text("name")),
    "fabrics.remove": lambda s, who, a: s.fabrics.remove(who, _vault(a), a.text("name")),
    "fabrics.invite": _invite,
    "fabrics.servers": lambda s, who, a: s.fabrics.servers(who, _vault(a)),
    "fabrics.revoke": lambda s, who, a: s.fabrics.revoke(who, _vault(a), a.text("server")),
    "fabrics.machines": lambda s, who, a: s.fabrics.machines(who, _vault(a)),
    "policies.list": lambda s, who, a: s.policies.list(who, _vault(a)),
    "policies.put": lambda s, who, a: s.policies.put(
        who, _vault(a), a.text("name"), _policy(a.mapping("policy"))
    ),
    "policies.remove": lambda s, who, a: s.policies.remove(who, _vault(a), a.text("name")),
    "items.list": lambda s, who, a: s.items.list(who, _vault(a)),
    "items.get": lambda s, who, a: s.items.get(who, _vault(a), a.text("item")),
    "items.enable": _enable,
    "items.command": _command,
    "items.points": lambda s, who, a: s.points.list(who, _vault(a), a.text("item")),
    "items.remove": lambda s, who, a: s.items.remove(who, _vault(a), a.text("item")),
    "jobs.list": lambda s, who, a: s.jobs.list(who, _vault(a), _LISTED),
    "jobs.get": lambda s, who, a: s.jobs.get(who, _vault(a), JobId(a.text("job"))),
    "jobs.act": _act,
    "jobs.export": lambda s, who, a: (s.jobs.export_csv if a.text("form") == "csv" else s.jobs.export_json)(
        who, _vault(a)
    ),
    "signs.conditions": lambda s, who, a: s.signs.conditions(who, _vault(a)),
    "signs.events": lambda s, who, a: s.signs.events(who, _vault(a), _LISTED),
    "signs.alerts": lambda s, who, a: s.signs.alerts(who, _vault(a)),
    "signs.set_alerts": lambda s, who, a: s.signs.set_alerts(who, _alerts(a)),
}
