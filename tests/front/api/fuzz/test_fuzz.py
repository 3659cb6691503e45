"""Whatever is asked of whichever operation: an answer at once, and never the server's mistake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import pytest
import requests
from hypothesis import event, given, settings
from hypothesis import strategies as st

from bascule.front.api.nouns.built import HANDLERS
from bascule.front.api.table.operations import Operation, operations
from tests.front.api.fuzz import asking, shapes
from tests.front.api.fuzz.asking import Asked, Asker
from tests.front.api.serving import VERSION, Served

# The server's threads draw random numbers of their own meanwhile.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")
BUILT = tuple(one for one in operations() if one.name in HANDLERS)
EACH = 40
"""Examples of each operation in the soak; of what is not built a quarter."""


@pytest.fixture(scope="module")
def asker(server: Served) -> Iterator[Asker]:
    with closing(Asker(server)) as asker:
        asker.ready()
        details = {"instanceType": "HyperVReplicaAzure"}
        policy = f"{server.home()}/replicationPolicies/daily"
        at = f"{server.home()}/replicationFabrics/site-1/replicationProtectionContainers/site-1"
        group = {
            "targetProtectionContainerId": "Microsoft Azure",
            "policyId": policy,
            "providerSpecificInput": details,
        }
        item = {"id": f"{at}/replicationProtectedItems/shop"}
        plan = {
            "primaryFabricId": f"{server.home()}/replicationFabrics/site-1",
            "recoveryFabricId": "Microsoft Azure",
            "failoverDeploymentModel": "ResourceManager",
            "groups": [{"groupType": "Boot", "replicationProtectedItems": [item]}],
        }
        mapping = f"{at}/replicationProtectionContainerMappings/map1"
        for path, said in ((mapping, group), (f"{server.home()}/replicationRecoveryPlans/plan1", plan)):
            answer = server.ask(path, "PUT", "anna", json={"properties": said})
            assert answer.status_code < 300, answer.text
        yield asker


def tried(server: Served, asker: Asker, asked: Asked) -> None:
    asker.ready()
    before = asking.state(server)
    said = asker.ask(asked)
    event(f"{said.status} {said.code}")
    asking.judge(asked, said, before, asking.state(server))


@pytest.mark.lab
@given(st.data())
def test_no_request_is_the_servers_mistake(server: Served, asker: Asker, data: st.DataObject) -> None:
    operation: Operation = data.draw(st.sampled_from(data.draw(st.sampled_from((BUILT, operations())))))
    tried(server, asker, data.draw(asking.requests(operation)))


@pytest.mark.long
@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.name)
def test_no_request_for_an_operation_is_the_servers_mistake(
    server: Served, asker: Asker, operation: Operation
) -> None:
    @settings(max_examples=EACH if operation.name in HANDLERS else EACH // 4)
    @given(asking.requests(operation))
    def ask(asked: Asked) -> None:
        tried(server, asker, asked)

    ask()


def test_the_bodies_of_all_operations_that_have_one_are_known() -> None:
    """Of a class of the SDK each: so a version that says it otherwise is seen."""
    sent = {one.name for one in operations() if one.method in ("PUT", "PATCH") and not one.is_ours}
    assert sent - shapes.inputs().keys() == set()


@pytest.fixture(scope="module")
def session(server: Served, asker: Asker) -> Iterator[requests.Session]:
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
