"""People at the API: made by the owner, signed in by password, by session and by device."""

from __future__ import annotations

import base64
import json

import pytest
import requests

from tests.front.api.serving import Served

PASSWORD = "correct horse battery"


def users(server: Served, more: str = "/users") -> str:
    return f"/subscriptions/{server.identity.server}/providers/Bascule{more}"


def post(server: Served, path: str, **form: str) -> requests.Response:
    return requests.post(server.base + path, data=form, verify=server.authority, timeout=30)


def grant(server: Served, kind: str, **more: str) -> requests.Response:
    scope = f"{server.base}//.default offline_access openid profile"
    path = f"/{server.identity.server}/oauth2/v2.0/token"
    return post(server, path, grant_type=kind, scope=scope, client_id="an-app", **more)


@pytest.fixture(scope="module", autouse=True)
def person(server: Served) -> None:
    server.ask(users(server, "/users/gina"), "PUT", json={"properties": {"password": PASSWORD}})
    role = {"properties": {"role": "operator"}}
    assert server.ask(f"{server.home()}/basculeRoles/gina", "PUT", json=role).status_code == 200


def status(server: Served, said: dict[str, str]) -> int:
    return server.ask(server.home(), headers={"Authorization": f"Bearer {said['access_token']}"}).status_code


@pytest.mark.slow
def test_a_person_signs_in_by_password_and_goes_on_by_the_session(server: Served) -> None:
    first = grant(server, "password", username="gina", password=PASSWORD)
    said = first.json()
    assert (first.status_code, first.headers["Cache-Control"], status(server, said)) == (200, "no-store", 200)
    again = grant(server, "refresh_token", refresh_token=said["refresh_token"])
    assert status(server, again.json()) == 200
    for wrong in (said["access_token"], said["id_token"], "x"):
        answer = grant(server, "refresh_token", refresh_token=wrong)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_client_learns_whose_account_it_is(server: Served) -> None:
    said = grant(server, "password", username="gina", password=PASSWORD).json()
    known = json.loads(base64.urlsafe_b64decode(said["client_info"] + "=="))
    claims = json.loads(base64.urlsafe_b64decode(said["id_token"].split(".")[1] + "=="))
    assert known == {"uid": claims["oid"], "utid": server.identity.server}
    assert (claims["preferred_username"], claims["aud"]) == ("gina", "an-app")


@pytest.mark.parametrize(("user", "password"), [("gina", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_a_wrong_password_is_refused_in_the_words_of_oauth(server: Served, user: str, password: str) -> None:
    answer = grant(server, "password", username=user, password=password)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_device_is_signed_in_on_a_page_without_scripts(server: Served) -> None:
    begun = post(server, f"/{server.identity.server}/oauth2/v2.0/devicecode", client_id="an-app").json()
    kind = "urn:ietf:params:oauth:grant-type:device_code"
    pending = grant(server, kind, device_code=begun["device_code"])
    assert (pending.status_code, pending.json()["error"]) == (400, "authorization_pending")
    shown = requests.get(begun["verification_uri"], verify=server.authority, timeout=30)
    assert shown.headers["Content-Type"].startswith("text/html")
    assert shown.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<script" not in shown.text
    form = {"code": begun["user_code"], "user": "gina"}
    wrong = post(server, "/device", **form, password="wrong")
    assert (wrong.status_code, "not known here" in wrong.text) == (400, True)
    assert post(server, "/device", **form, password=PASSWORD).status_code == 200
    assert status(server, grant(server, kind, device_code=begun["device_code"]).json()) == 200
    assert grant(server, kind, device_code=begun["device_code"]).json()["error"] == "invalid_grant"


def test_what_a_link_says_is_no_part_of_the_page(server: Served) -> None:
    path = server.base + "/device"
    asked = {"code": '"><script>'}
    shown = requests.get(path, params=asked, verify=server.authority, timeout=30)
    assert "<script" not in shown.text


@pytest.mark.slow
def test_a_person_changes_the_password_and_the_owner_gives_another_one(server: Served) -> None:
    made = server.ask(users(server, "/users/hugo"), "PUT", json={})
    first = made.json()["properties"]["password"]
    assert made.status_code == 201
    said = grant(server, "password", username="hugo", password=first).json()
    own = {"Authorization": f"Bearer {said['access_token']}"}
    change = {"properties": {"password": first, "newPassword": PASSWORD}}
    assert server.ask(users(server, "/changePassword"), "POST", headers=own, json=change).status_code == 200
    assert server.ask("/tenants", headers=own).status_code == 401
    reset = server.ask(users(server, "/users/HUGO/resetPassword"), "POST", json={})
    second = reset.json()["properties"]["password"]
    assert grant(server, "password", username="hugo", password=PASSWORD).status_code == 400
    assert grant(server, "password", username="hugo", password=second).status_code == 200
    listed = server.ask(users(server)).text
    assert second not in listed
    assert server.ask(users(server), name="anna").status_code == 403
    assert server.ask(users(server, "/users/hugo"), "DELETE").status_code == 204
    assert grant(server, "password", username="hugo", password=second).status_code == 400


def test_a_password_that_is_none_is_refused(server: Served) -> None:
    answer = server.ask(users(server, "/users/ida"), "PUT", json={"properties": {"password": "short"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadPassword")
