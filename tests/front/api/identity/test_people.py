"""Principals, roles, records and keys of hosts, by operations of our own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bascule.wire.control.invitation import invitation_from
from tests.front.api.serving import Served

pytestmark = pytest.mark.lab


def principals(server: Served, name: str = "", more: str = "") -> str:
    home = f"/subscriptions/{server.identity.server}/providers/Bascule/servicePrincipals"
    return f"{home}/{name}{more}" if name else home


def test_a_principal_is_made_signs_in_gets_a_role_and_goes(server: Served) -> None:
    made = server.ask(principals(server, "portal"), "PUT", json={})
    said = made.json()["properties"]
    assert made.status_code == 201
    token = server.identity.sign_in(said["clientId"], said["secret"]).text
    bearer = {"Authorization": f"Bearer {token}"}
    assert server.ask(server.home(), headers=bearer).status_code == 403
    role = f"{server.home()}/basculeRoles/portal"
    assert server.ask(role, "PUT", json={"properties": {"role": "Reader"}}).status_code == 200
    assert server.ask(server.home(), headers=bearer).status_code == 200
    assert (
        server.ask(f"{server.home()}/replicationFabrics/new", "PUT", headers=bearer, json={}).status_code
        == 403
    )
    assert server.ask(role, "DELETE").status_code == 204
    assert server.ask(server.home(), headers=bearer).status_code == 403
    assert server.ask(principals(server, "portal"), "DELETE").status_code == 204
    assert server.ask(server.home(), headers=bearer).status_code == 401


def test_a_secret_is_changed_without_a_gap(server: Served) -> None:
    first = server.ask(principals(server, "rotor"), "PUT", json={}).json()["properties"]
    second = server.ask(principals(server, "ROTOR", "/renewSecret"), "POST").json()["properties"]
    for one in (first, second):
        assert server.identity.sign_in(first["clientId"], one["secret"])
    old = principals(server, "rotor", f"/secrets/{first['secretId']}")
    assert server.ask(old, "DELETE").status_code == 204
    assert server.ask(old, "DELETE").status_code == 404
    (left,) = [one for one in server.ask(principals(server)).json()["value"] if one["name"] == "rotor"]
    assert [held["id"] for held in left["properties"]["secrets"]] == [second["secretId"]]
    assert second["secret"] not in server.ask(principals(server)).text


def test_only_the_owner_says_who_is_what(server: Served) -> None:
    for path, method in (
        (principals(server), "GET"),
        (principals(server, "mine"), "PUT"),
        (f"{server.home()}/basculeRoles/anna", "PUT"),
        (f"{server.home()}/basculeRoles/otto", "DELETE"),
    ):
        answer = server.ask(path, method, "anna", json={"properties": {"role": "contributor"}})
        assert answer.status_code == 403, path


def test_a_role_that_is_none_is_refused(server: Served) -> None:
    answer = server.ask(f"{server.home()}/basculeRoles/anna", "PUT", json={"properties": {"role": "king"}})
    assert answer.status_code == 400
    roles = {
        one["name"]: one["properties"]["role"]
        for one in server.ask(f"{server.home()}/basculeRoles").json()["value"]
    }
    assert roles == {"anna": "contributor", "otto": "operator", "rita": "reader"}


def test_what_was_done_in_a_vault_is_read_by_who_may_look(server: Served) -> None:
    server.ask(f"{server.home()}/replicationFabrics/nowhere", "PUT", "rita", json={})
    found = server.ask(f"{server.home()}/basculeRecords", name="rita").json()["value"]
    assert ("rita", "create-fabric", "not-permitted") in {
        (one["who"], one["what"], one["code"]) for one in found
    }


def test_a_registration_key_is_the_file_that_hosts_read(server: Served) -> None:
    path = f"{server.home()}/replicationFabrics/SITE-1/basculeRegistrationKeys"
    answer = server.ask(path, "POST", "anna", json={"properties": {"lastsSeconds": 60}})
    assert answer.headers["Cache-Control"] == "no-store"
    key = invitation_from(answer.content)
    assert replace(key, secret="").addresses == ("vault.example:9444",)
    for lasts in (0, 10**8):
        asked = {"properties": {"lastsSeconds": lasts}}
        assert server.ask(path, "POST", "anna", json=asked).status_code == 400
    assert server.ask(path, "POST", "rita", json={}).status_code == 403
