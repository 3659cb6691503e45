"""Who may sign in, who is what in a vault, what was done there, and the keys by which hosts join.

Azure has other services for these; here they are under the same paths, in the same style, by names of ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from bascule.control.service.people.identity import Made
from bascule.model.vault.access import Assignment, Role
from bascule.model.vault.principal import Principal
from bascule.ports.vault.audit import Deed
from bascule.wire.control.invitation import invitation_written

from ..answers import Answer, moment, page
from ..asking import Ask, bad_body
from ..naming import named, resource
from ..nouns.sides.fabrics import fabric_of

_LISTED = 1000
_KEY_SECONDS = 5 * 86400
_KEY_SECONDS_MAX = 30 * 86400


def list_principals(ask: Ask) -> Answer:
    """Return the service principals of the server."""
    return page(ask, (_principal(ask, one) for one in ask.desks.identity.list(ask.caller)))


def put_principal(ask: Ask) -> Answer:
    """Make a service principal, and tell its secret this once."""
    is_owner = ask.text("properties", "role").casefold() == "owner"
    made = ask.desks.identity.create(ask.caller, ask.names["principal"], is_owner=is_owner)
    return Answer(201, _made(ask, made))


def renew_secret(ask: Ask) -> Answer:
    """Give a service principal one more secret, and tell it this once."""
    return Answer(body=_made(ask, ask.desks.identity.renew(ask.caller, _found(ask).id)))


def forget_secret(ask: Ask) -> Answer:
    """Take a secret of a service principal away."""
    ask.desks.identity.forget(ask.caller, _found(ask).id, ask.names["secret"])
    return Answer(204)


def remove_principal(ask: Ask) -> Answer:
    """Remove a service principal with all its roles."""
    ask.desks.identity.remove(ask.caller, _found(ask).id)
    return Answer(204)


def list_roles(ask: Ask) -> Answer:
    """Return who is what in a vault."""
    return page(ask, (_role(ask, one) for one in ask.service.vaults.roles(ask.caller, ask.vault)))


def put_role(ask: Ask) -> Answer:
    """Make somebody something in a vault."""
    said = ask.text("properties", "role").casefold()
    role = next((one for one in Role if one == said), None)
    if role is None:
        bad_body(f"{said[:40]!r} is no role: choose of {', '.join(Role)}")
    name = ask.names["principal"]
    ask.service.vaults.assign(ask.caller, ask.vault, name, role)
    return Answer(body=_role(ask, Assignment(ask.vault, name, role)))


def remove_role(ask: Ask) -> Answer:
    """Take somebody's role in a vault away."""
    ask.service.vaults.unassign(ask.caller, ask.vault, ask.names["principal"])
    return Answer(204)


def list_records(ask: Ask) -> Answer:
    """Return who did what in a vault and who was refused, the newest first."""
    deeds = ask.service.vaults.deeds(ask.caller, ask.vault, _LISTED)
    return page(ask, (_deed(one) for one in deeds))


def make_key(ask: Ask) -> Answer:
    """Make a registration key, by which hosts join a site; the answer is the file itself."""
    lasts = ask.number("properties", "lastsSeconds", default=_KEY_SECONDS)
    if not 0 < lasts <= _KEY_SECONDS_MAX:
        bad_body(f"a key lasts {_KEY_SECONDS_MAX} seconds at most")
    host = ask.text("properties", "host")
    made = ask.service.fabrics.invite(ask.caller, ask.vault, fabric_of(ask).id, lasts, host)
    return Answer(body=json.loads(invitation_written(made)), headers={"Cache-Control": "no-store"})


def _found(ask: Ask) -> Principal:
    known = ask.desks.identity.list(ask.caller)
    return named(known, ask.names["principal"], lambda one: one.name, "service principal")


def _made(ask: Ask, made: Made) -> Mapping[str, object]:
    said = _principal(ask, made.principal)
    told = {"secret": made.secret, "secretId": made.principal.secrets[-1].id}
    return {**said, "properties": {**_properties(made.principal), **told}}


def _principal(ask: Ask, one: Principal) -> Mapping[str, object]:
    return {
        "id": f"/subscriptions/{ask.names['subscription']}/providers/Bascule/servicePrincipals/{one.name}",
        **{"name": one.name, "type": "Bascule/servicePrincipals", "properties": _properties(one)},
    }


def _properties(one: Principal) -> Mapping[str, object]:
    return {
        **{"clientId": one.id, "role": "owner" if one.is_owner else ""},
        "secrets": [
            {"id": held.id, "madeAt": moment(held.made_at), "expiresAt": moment(held.expires_at)}
            for held in one.secrets
        ],
    }


def _role(ask: Ask, one: Assignment) -> Mapping[str, object]:
    return resource(ask.home, f"basculeRoles/{one.id}", "basculeRoles", {"role": str(one.role)})


def _deed(one: Deed) -> Mapping[str, object]:
    return {
        **{"at": moment(one.at), "who": one.who, "what": one.what, "subject": one.subject},
        **{"code": one.code, "detail": one.detail},
    }


HANDLERS = {
    "principals.list": list_principals,
    "principals.create": put_principal,
    "principals.renew_secret": renew_secret,
    "principals.forget_secret": forget_secret,
    "principals.remove": remove_principal,
    "roles.list": list_roles,
    "roles.assign": put_role,
    "roles.unassign": remove_role,
    "records.list": list_records,
    "keys.create": make_key,
}
