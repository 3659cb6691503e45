"""What is alike in every answer, and what the official clients make of it."""

from __future__ import annotations

from contextlib import closing

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential

from bascule.front.api.asking import BODY_MAX
from bascule.wire import tokens
from tests.control.service.desks import OWNER
from tests.front.api.sdks import NEWEST
from tests.front.api.serving import VERSION, Served

pytestmark = pytest.mark.lab


def test_the_sdk_finds_the_vaults_that_its_caller_may_see(server: Served) -> None:
    found = {
        name: [one.name for one in server.vaults(name).vaults.list_by_subscription_id()]
        for name in ("root", "anna", "nemo")
    }
    assert found == {"root": ["north", "south"], "anna": ["north"], "nemo": []}


def test_the_sdk_makes_finds_and_removes_a_vault(server: Served) -> None:
    client = server.vaults().vaults
    made = client.begin_create_or_update("rg-1", "west", {"location": "onpremises"}).result()
    assert made.id == server.home("west").replace("/rg/", "/rg-1/")
    assert made.properties.provisioning_state == "Succeeded"
    assert client.begin_create_or_update("rg-1", "west", {"location": "onpremises"}).result().name == "west"
    assert client.get("rg-1", "WEST").name == "west"
    client.begin_delete("rg-1", "west").result()
    with pytest.raises(ResourceNotFoundError, match="west"):
        client.get("rg-1", "west")
    client.begin_delete("rg-1", "west").result()


def test_a_token_is_got_in_the_form_of_adfs_too(server: Served) -> None:
    made = server.people["anna"]
    credential = ClientSecretCredential(
        *("adfs", made.principal.id, made.secret),
        authority=server.base,
        disable_instance_discovery=True,
        connection_verify=server.authority,
    )
    token = credential.get_token(f"{server.base}/.default").token
    assert server.identity.who(token).name == "anna"


@pytest.mark.parametrize("sdk", [NEWEST, "2.0.0 aio"])
def test_the_sdk_that_does_not_block_works_alike(server: Served, sdk: str) -> None:
    with closing(server.recovery("rita", sdk=sdk)) as client:
        assert [one.name for one in client("replication_fabrics.list")] == ["site-1"]


def test_a_wrong_secret_is_told_so_that_the_client_knows_it(server: Served) -> None:
    made = server.people["nemo"]
    credential = ClientSecretCredential(
        *(server.identity.server, made.principal.id, "wrong"),
        authority=server.base,
        disable_instance_discovery=True,
        connection_verify=server.authority,
    )
    with pytest.raises(ClientAuthenticationError, match="not known here"):
        credential.get_token(f"{server.base}/.default")
    with pytest.raises(ClientAuthenticationError, match="Tokens are for"):
        server.credential("nemo").get_token("https://vault.example/.default")


def test_a_cloud_is_described_to_clients_of_today_and_of_old(server: Served) -> None:
    def cloud(version: str) -> object:
        asked = {"api-version": version}
        path = server.base + "/metadata/endpoints"
        return requests.get(path, params=asked, verify=server.authority, timeout=30).json()

    assert cloud("2022-09-01")["resourceManager"] == server.base
    assert cloud("2019-05-01")[0]["authentication"]["loginEndpoint"] == server.base


@pytest.mark.parametrize("path", ["/subscriptions", "/tenants"])
def test_subscription_and_tenant_are_called_by_the_servers_id(server: Served, path: str) -> None:
    (found,) = server.ask(path, name="nemo").json()["value"]
    assert found["tenantId"] == server.identity.server


def test_words_of_paths_are_alike_in_whatever_case(server: Served) -> None:
    path = server.home("NORTH")
    for asked in (path, path.upper(), path.lower()):
        assert server.ask(asked).json()["name"] == "north", asked


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({}, 400, "MissingApiVersionParameter"),
        ({"api-version": "latest"}, 400, "InvalidApiVersionParameter"),
        ({"Api-Version": "1999-01-01-preview"}, 200, None),
        ({"api-version": VERSION, "API-VERSION": VERSION}, 400, "BadRequest"),
    ],
)
def test_any_dated_api_version_is_good_and_none_is_not(
    server: Served, params: dict[str, str], status: int, code: str | None
) -> None:
    answer = server.ask("/subscriptions", params=params)
    assert (answer.status_code, answer.json().get("error", {}).get("code")) == (status, code)


def test_an_answer_carries_the_ids_by_which_it_is_found_again(server: Served) -> None:
    asked = {"x-ms-correlation-request-id": "c-1", "x-ms-client-request-id": "bad\tid"}
    first, second = server.ask("/tenants", headers=asked), server.ask("/tenants")
    assert first.headers["x-ms-correlation-request-id"] == "c-1"
    assert "x-ms-client-request-id" not in first.headers
    ids = {one.headers["x-ms-request-id"] for one in (first, second)}
    assert len(ids) == 2
    assert second.headers["x-ms-correlation-request-id"] in ids


def test_what_is_not_built_says_so_and_is_no_404(server: Served) -> None:
    client = server.recovery()
    for operation, names, code in (
        ("replication_recovery_plans.begin_failover_commit", ("plan",), "OperationNotYetSupported"),
        ("replication_migration_items.list", (), "OperationNotSupported"),
    ):
        with pytest.raises(HttpResponseError) as refusal:
            list(client(operation, *names))
        assert (refusal.value.status_code, refusal.value.error.code) == (400, code)


def test_what_is_refused_names_the_cure(server: Served) -> None:
    answer = server.ask(server.home("south"), name="anna")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "AuthorizationFailed")
    assert error["message"].endswith("ask the owner of the server for a role")
    assert error["additionalInfo"][0]["info"]["code"] == "no-role"


def test_a_stranger_learns_nothing_of_a_vault_whatever_the_case(server: Served) -> None:
    def refusal(vault: str) -> str:
        answer = server.ask(server.home(vault), name="nemo")
        assert answer.status_code == 403
        return answer.text.replace(vault, "VAULT")

    assert refusal("NORTH") == refusal("nowhere")


def test_another_subscription_is_not_there(server: Served) -> None:
    answer = server.ask("/subscriptions/11111111-1111-4111-8111-111111111111")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "SubscriptionNotFound")


def forged(server: Served, kind: str) -> str:
    token = server.token("root")
    header, body, _ = token.split(".")
    claims = {"iss": server.identity.server, "aud": server.identity.server, "nbf": 0, "exp": 1 << 40}
    claims |= {"sub": server.people["root"].principal.id}
    secret = server.people["root"].principal.secrets[0].id
    key = server.principals.key
    return {
        "none": f"eyJhbGciOiJub25lIn0.{body}.",
        "cut": f"{header}.{body}.",
        "another key": tokens.sign(claims | {"sid": secret}, bytes(32)),
        "expired": tokens.sign(claims | {"sid": secret, "exp": 1}, key),
        "another audience": tokens.sign(claims | {"sid": secret, "aud": "https://graph.example"}, key),
        "another issuer": tokens.sign(claims | {"sid": secret, "iss": "https://sts.example"}, key),
        "another secret": tokens.sign(claims | {"sid": "0"}, key),
        "nobody": tokens.sign(claims | {"sub": "0", "sid": secret}, key),
        "text": "x" * 5000,
        "empty": "",
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "none",
        "cut",
        "another key",
        "expired",
        "another audience",
        "another issuer",
        "another secret",
        "nobody",
        "text",
        "empty",
    ],
)
def test_whoever_has_no_token_of_ours_is_sent_to_sign_in(server: Served, kind: str) -> None:
    answer = server.ask(server.home(), headers={"Authorization": f"Bearer {forged(server, kind)}"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"].startswith(("Invalid", "Expired", "Authentication"))
    assert f"{server.base}/{server.identity.server}" in answer.headers["WWW-Authenticate"]


def test_who_was_turned_away_is_written_down(server: Served) -> None:
    server.ask(server.home(), headers={"Authorization": ""})
    server.ask("/nothing/here", name="anna")
    server.service.gate.settle()
    said = {(deed.who, deed.what, deed.code) for deed in server.service.vaults.deeds(OWNER, "", 100_000)}
    assert ("(nobody)", "vaults.get", "missing-token") in said
    assert ("anna", "unknown", "unknown-operation") in said


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"\xff\xfe\x00", 400),
        (b'{"a": NaN}', 400),
        (b'{"a": "\\ud800"}', 400),
        (b'{"a": "\\u0000"}', 400),
        (b'{"a":' * 100 + b"1" + b"}" * 100, 400),
        (b"[" * 500_000, 400),
        (b'{"a": ' + b"9" * 10_000 + b"}", 400),
        (b" " * (BODY_MAX + 1), 413),
    ],
)
def test_a_body_that_is_none_is_refused(server: Served, body: bytes, status: int) -> None:
    answer = server.ask(server.home("west"), "PUT", data=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


def test_a_body_without_a_length_is_cut_at_the_same_size(server: Served) -> None:
    parts = (b" " * (1 << 16) for _ in range(200))
    try:
        status = server.ask(server.home("west"), "PUT", data=parts).status_code
    except requests.ConnectionError:
        status = 413  # it was cut off while it was sent
    assert status == 413


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "HEAD", "CONNECTED"])
def test_another_method_is_refused(server: Served, method: str) -> None:
    assert server.ask(server.home(), method).status_code == 405


def test_a_path_with_the_end_of_a_line_in_it_is_told_what_is_wrong(server: Served) -> None:
    answer = server.ask("/subscriptions%0A")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "InvalidResourceType")
