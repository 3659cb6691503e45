"""Whatever is asked of whichever operation: an answer at once, and never the server's mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from bascule.front.api.nouns.built import HANDLERS
from bascule.front.api.table.operations import Operation, operations
from tests.control.service.desks import OWNER, ROUTE
from tests.front.api.serving import VERSION, Served

# The server's threads draw random numbers of their own meanwhile.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")
KNOWN = ("north", "south", "site-1", "h1", "h2", "daily", "shop", "rg", "web", "export", "default", "1")
WORDS = (
    *(
        "properties",
        "providerSpecificDetails",
        "providerSpecificInput",
        "instanceType",
        "bascule",
        "policyId",
    ),
    *("protectableItemId", "recoveryServicesProviderId", "recoveryPointId", "failoverDirection", "comments"),
    *("customDetails", "replicationProviderSettings", "replicationInterval", "recoveryPointHistoryDuration"),
    *("applicationConsistentSnapshotFrequencyInHours", "targetStorageAccountId", "keyFile", "location"),
)
KINDS = ("HyperVReplicaAzure", "HyperVSite", "A2A", "InMage", "PrimaryToRecovery")

names = st.one_of(st.sampled_from(KNOWN), st.text(min_size=1, max_size=300))
texts = st.one_of(st.sampled_from(KINDS), st.text(max_size=40), st.sampled_from(KNOWN).map("/x/{}".format))
numbers = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False), st.booleans(), st.none())
bodies = st.recursive(
    st.one_of(texts, numbers),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=6)
    ),
    max_leaves=30,
)
BUILT = tuple(one for one in operations() if one.name in HANDLERS)
queries = st.dictionaries(
    st.sampled_from(("$filter", "$skipToken", "skipToken", "$take", "x")), st.text(max_size=60), max_size=2
)


@pytest.fixture(scope="module")
def session(server: Served) -> Iterator[requests.Session]:
    server.service.items.enable(OWNER, "north", "shop", ROUTE)
    server.node.settled()
    with requests.Session() as session:
        session.trust_env, session.verify = False, server.authority
        session.headers["Authorization"] = f"Bearer {server.token()}"
        yield session


def check(answer: requests.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert error["code"]
        assert error["message"]


@pytest.mark.lab
@given(st.data())
def test_no_request_is_the_servers_mistake(
    server: Served, session: requests.Session, data: st.DataObject
) -> None:
    operation: Operation = data.draw(st.sampled_from(data.draw(st.sampled_from((BUILT, operations())))))
    words = []
    for word in operation.path.split("/"):
        asked = data.draw(names) if word.startswith("{") else word
        words.append(server.identity.server if word == "{subscription}" else quote(asked, safe=""))
    body = data.draw(st.one_of(bodies.map(lambda one: json.dumps(one).encode()), st.binary(max_size=50)))
    params = {"api-version": VERSION, **data.draw(queries)}
    url = server.base + "/".join(words)
    check(session.request(operation.method, url, params=params, data=body, timeout=30))


@pytest.mark.slow
@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.name)
def test_every_operation_answers_a_plain_request(
    server: Served, session: requests.Session, operation: Operation
) -> None:
    path = operation.path.replace("{subscription}", server.identity.server).replace("{vault}", "south")
    known = {"fabric": "site-1", "container": "site-1", "item": "shop", "policy": "daily", "group": "rg"}
    for name, value in known.items():
        path = path.replace("{" + name + "}", value)
    if operation.name == "vaults.delete":
        path = path.replace("south", "nowhere")
    answer = session.request(
        operation.method,
        server.base + path,
        params={"api-version": VERSION},
        json={"properties": {}},
        timeout=30,
    )
    check(answer)
    code = answer.json()["error"]["code"] if answer.status_code >= 400 else ""
    is_told = code in ("OperationNotYetSupported", "OperationNotSupported")
    assert is_told == (operation.name not in HANDLERS)


@pytest.mark.lab
@given(path=st.text(max_size=200), method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH"]))
def test_no_path_is_the_servers_mistake(
    server: Served, session: requests.Session, path: str, method: str
) -> None:
    check(session.request(method, f"{server.base}/{quote(path)}", timeout=30))
