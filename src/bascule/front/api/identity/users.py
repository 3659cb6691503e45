"""The people of the server: made and removed by its owner, each with a password of their own to change."""

from __future__ import annotations

from collections.abc import Mapping

from bascule.model.vault.principal import Principal

from ..answers import Answer, moment, page
from ..asking import Ask

_UNSAVED = {"Cache-Control": "no-store"}


def list_users(ask: Ask) -> Answer:
    """Return the people of the server."""
    return page(ask, (_user(ask, one) for one in ask.desks.users.list(ask.caller)))


def put_user(ask: Ask) -> Answer:
    """Make a person; the password that was drawn, unless one is given, is told this once."""
    is_owner = ask.text("properties", "role").casefold() == "owner"
    asked = ask.text("properties", "password")
    made = ask.desks.users.create(ask.caller, ask.names["user"], asked, is_owner=is_owner)
    return Answer(201, _user(ask, made.person, "" if asked else made.password), _UNSAVED)


def reset_password(ask: Ask) -> Answer:
    """Give a person another password, and tell it this once unless it is given."""
    asked = ask.text("properties", "password")
    made = ask.desks.users.reset(ask.caller, ask.names["user"], asked)
    return Answer(body=_user(ask, made.person, "" if asked else made.password), headers=_UNSAVED)


def unlock(ask: Ask) -> Answer:
    """Let a person in again who was wrong too often."""
    return Answer(body=_user(ask, ask.desks.users.unlock(ask.caller, ask.names["user"])))


def change_password(ask: Ask) -> Answer:
    """Change the caller's own password."""
    old, new = ask.text("properties", "password"), ask.text("properties", "newPassword")
    return Answer(body=_user(ask, ask.desks.users.change(ask.caller, old, new)))


def remove_user(ask: Ask) -> Answer:
    """Remove a person with all their roles."""
    ask.desks.users.remove(ask.caller, ask.names["user"])
    return Answer(204)


def _user(ask: Ask, one: Principal, password: str = "") -> Mapping[str, object]:
    since = moment(max((held.made_at for held in one.secrets), default=None))
    said = {"role": "owner" if one.is_owner else "", "passwordSince": since}
    return {
        "id": f"/subscriptions/{ask.names['subscription']}/providers/Bascule/users/{one.name}",
        **{"name": one.name, "type": "Bascule/users"},
        "properties": {**said, **({"password": password} if password else {})},
    }


HANDLERS = {
    "users.list": list_users,
    "users.create": put_user,
    "users.reset_password": reset_password,
    "users.unlock": unlock,
    "users.change_password": change_password,
    "users.remove": remove_user,
}
