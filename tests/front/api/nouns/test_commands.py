"""The life of a protected machine, asked for by the official client, step by step as recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from bascule.front.api.nouns.machines.points import point_name, point_of
from bascule.model.vault.item import Command
from bascule.model.vault.signs.disk import Disk
from lab.waiting import wait_until
from tests.control.service.desks import OWNER
from tests.front.api.sdks import NEWEST, SDKS, Client
from tests.front.api.serving import Served

pytestmark = pytest.mark.lab

AT = ("site-1", "site-1", "shop")
ITEMS = "replication_protected_items"


def body(server: Served, machine: str = "one#shop", **more: object) -> dict[str, Any]:
    home = server.home()
    details = {
        **{"instanceType": "HyperVReplicaAzure", "targetStorageAccountId": "/points"},
        "bascule": {
            "recoveryServicesProviderId": (
                f"{home}/replicationFabrics/site-1/replicationRecoveryServicesProviders/h2"
            ),
            "keyFile": "/key",
        },
    }
    container = f"{home}/replicationFabrics/site-1/replicationProtectionContainers/site-1"
    return {
        "properties": {
            "policyId": f"{home}/replicationPolicies/daily",
            "protectableItemId": f"{container}/replicationProtectableItems/{machine}",
            "providerSpecificDetails": {**details, **more},
        }
    }


def enabled(server: Served, client: Client) -> Any:
    poller: Any = client(f"{ITEMS}.begin_create", *AT, client.exactly(body(server)))
    poller.result()
    server.node.settled()
    return client(f"{ITEMS}.get", *AT)


def stands(client: Client) -> tuple[str, str, str, set[str]]:
    found: Any = client(f"{ITEMS}.get", *AT)
    said = found.properties
    return (
        said.protection_state,
        said.active_location,
        said.test_failover_state,
        set(said.allowed_operations),
    )


@pytest.fixture
def client(server: Served, request: pytest.FixtureRequest) -> Iterator[Client]:
    """The client, of the newest kind unless the test names one, and afterwards nothing that is protected."""
    client = server.recovery(sdk=getattr(request, "param", NEWEST))
    yield client
    client.close()
    server.node.settled()
    for item in server.service.items.list(OWNER, "north"):
        for command in (Command.CLEAN_UP, Command.CANCEL, Command.DISABLE):
            server.try_to(item.id, command)


def over(client: Client, verb: str, **properties: object) -> Any:
    asked = {"properties": {"failoverDirection": "PrimaryToRecovery", **properties}}
    poller: Any = client(f"{ITEMS}.begin_{verb}", *AT, asked)
    return poller.result()


def plain(client: Client, verb: str) -> Any:
    poller: Any = client(f"{ITEMS}.begin_{verb}", *AT)
    return poller.result()


@pytest.mark.parametrize("client", SDKS, indirect=True)
def test_a_machine_goes_over_and_stays_by_the_official_client(server: Served, client: Client) -> None:
    assert enabled(server, client).properties.policy_friendly_name == "daily"
    usual = {"PlannedFailover", "UnplannedFailover", "DisableProtection", "TestFailover"}
    assert stands(client) == ("Protected", "Primary", "None", usual)

    tested = over(client, "test_failover", networkType="NoNetworkAttachAsInput")
    assert tested.properties.test_failover_state == "TestFailoverCompleted"
    assert stands(client)[3] == {"UnplannedFailover", "TestFailoverCleanup"}
    client(f"{ITEMS}.begin_test_failover_cleanup", *AT, {"properties": {"comments": "fine"}}).result()
    assert stands(client) == ("Protected", "Primary", "None", usual)

    plain(client, "repair_replication")
    points: Any = list(client("recovery_points.list_by_replication_protected_items", *AT))
    point = points[-1].name
    assert client("recovery_points.get", *AT, point).properties.recovery_point_type == "CrashConsistent"
    failed = over(
        client,
        "unplanned_failover",
        providerSpecificDetails={"instanceType": "HyperVReplicaAzure", "recoveryPointId": f"/{point}"},
    )
    assert failed.properties.failover_recovery_point_id == point_of(point)
    pending = "UnplannedFailoverCommitPendingStatesBegin"
    assert stands(client) == (pending, "Recovery", "None", {"Commit", "CancelFailover", "ChangePit"})
    other = {"properties": {"recoveryPointId": points[0].id}}
    changed: Any = client(f"{ITEMS}.begin_apply_recovery_point", *AT, other)
    assert changed.result().properties.failover_recovery_point_id == point_of(points[0].name)
    plain(client, "failover_cancel")
    assert stands(client) == ("Protected", "Primary", "None", usual)

    over(client, "unplanned_failover")
    plain(client, "failover_commit")
    assert stands(client) == (
        "UnplannedFailoverCommitted",
        "Recovery",
        "None",
        {"DisableProtection", "ReverseReplicate", "Failback"},
    )
    gone = {"properties": {"disableProtectionReason": "NotSpecified"}}
    client(f"{ITEMS}.begin_delete", *AT, gone).result()
    with pytest.raises(ResourceNotFoundError):
        client(f"{ITEMS}.get", *AT)
    assert list(client(f"{ITEMS}.list")) == []


def test_an_operation_is_called_as_its_job_and_says_how_far_it_is(server: Served, client: Client) -> None:
    path = f"{server.home()}/replicationFabrics/site-1/replicationProtectionContainers/site-1"
    begun = server.ask(f"{path}/replicationProtectedItems/shop", "PUT", json=body(server))
    assert (begun.status_code, begun.content) == (202, b"")
    assert int(begun.headers["Retry-After"]) >= 1
    name = begun.headers["Location"].split("/operationresults/")[1].split("?")[0]
    url = begun.headers["Azure-AsyncOperation"]
    assert f"/replicationOperationStatus/{name}?" in url
    server.node.settled()
    said = server.ask(url.removeprefix(server.base), params=None).json()
    fields = "error id name properties status startTime endTime percentComplete"
    assert set(said) == set(fields.split())
    assert (said["name"], said["status"], said["error"]) == (name, "Succeeded", None)
    job: Any = client("replication_jobs.get", name)
    assert (job.properties.scenario_name, job.properties.state) == ("EnableDr", "Succeeded")
    result = server.ask(begun.headers["Location"].removeprefix(server.base), params=None)
    assert result.json()["name"] == "shop"


@pytest.mark.parametrize("client", SDKS, indirect=True)
def test_a_machine_goes_over_in_order_and_comes_home_when_a_person_says_so(
    server: Served, client: Client
) -> None:
    enabled(server, client)
    over(client, "planned_failover", providerSpecificDetails={"instanceType": "HyperVReplicaAzure"})
    assert stands(client)[1] == "Recovery"
    plain(client, "failover_commit")
    back = {"properties": {"failoverDirection": "PrimaryToRecovery"}}
    client(f"{ITEMS}.begin_reprotect", *AT, back).result()
    server.node.settled()
    assert stands(client) == ("Protected", "Recovery", "None", {"DisableProtection", "Failback"})
    details = {"instanceType": "HyperVReplicaAzureFailback", "dataSyncOption": "ForSynchronization"}
    home = {"failoverDirection": "RecoveryToPrimary", "providerSpecificDetails": details}
    poller: Any = client(f"{ITEMS}.begin_planned_failover", *AT, {"properties": home})

    def waiting() -> list[Any]:
        return list(client("replication_jobs.list", filter="JobStatus eq 'Suspended'"))

    wait_until(lambda: bool(waiting()), 30, "the question")
    (job,) = waiting()
    assert job.properties.allowed_actions == ["Cancel", "Resume"]
    client("replication_jobs.begin_resume", job.name, {"properties": {"comments": "yes"}}).result()
    assert poller.result().properties.active_location == "Primary"
    plain(client, "failover_commit")
    assert stands(client)[1] == "Primary"


def test_an_operation_that_fails_tells_why_and_its_job_is_restarted(server: Served, client: Client) -> None:
    enabled(server, client)
    server.node.sites.fail("start failover", "refused", "no memory")
    with pytest.raises(HttpResponseError, match="no memory") as failure:
        over(client, "unplanned_failover")
    assert failure.value.error.code == "Refused"
    job: Any = next(iter(client("replication_jobs.list")))
    assert (job.properties.state, job.properties.allowed_actions) == ("Failed", ["Restart"])
    assert job.properties.errors[0].service_error_details.message.endswith("no memory")
    server.node.sites.fail("start failover")
    assert client("replication_jobs.begin_restart", job.name).result().name == job.name
    server.node.settled()
    assert stands(client)[1] == "Recovery"
    names = [task.name for task in client("replication_jobs.get", job.name).properties.tasks]
    assert names[:2] == ["VmUfoPrerequisitesCheck", "VmPrepareForUnPlannedFailover"]
    assert names[2:] == ["VmFailover", "VmFoStartVmOnSecondary"]


def test_settings_that_kept_a_machine_from_being_finalised_are_corrected(
    server: Served, client: Client
) -> None:
    """R-P-4."""
    server.node.sites.fail("settle", "refused", "this host has no network blue")
    enabled(server, client)
    [failed] = [one for one in client("replication_jobs.list") if one.properties.state == "Failed"]
    assert (failed.properties.scenario_name, failed.properties.allowed_actions) == (
        "IrCompletion",
        ["Restart"],
    )
    change = {"properties": {"selectedRecoveryAzureNetworkId": "/networks/green"}}
    client(f"{ITEMS}.begin_update", *AT, change).result()
    server.node.sites.fail("settle")
    client("replication_jobs.begin_restart", failed.name).result()
    server.node.settled()
    assert stands(client)[0] == "Protected"
    details = client(f"{ITEMS}.get", *AT).properties.provider_specific_details
    assert details.selected_recovery_azure_network_id == "green"


def test_what_an_item_does_not_allow_is_a_conflict(server: Served, client: Client) -> None:
    enabled(server, client)
    with pytest.raises(ResourceExistsError) as refusal:
        plain(client, "failover_commit")
    assert refusal.value.error.code == "OperationNotAllowed"
    with pytest.raises(ResourceExistsError, match="has an item shop"):
        client(f"{ITEMS}.begin_create", "SITE-1", "site-1", "SHOP", body(server, "one#till"))


def test_an_operator_fails_over_and_protects_nothing(server: Served, client: Client) -> None:
    otto, rita = server.recovery("otto"), server.recovery("rita")
    with pytest.raises(HttpResponseError, match="needs the right to change"):
        otto(f"{ITEMS}.begin_create", *AT, body(server))
    enabled(server, client)
    with pytest.raises(HttpResponseError, match="needs the right to fail over"):
        over(rita, "unplanned_failover")
    assert over(otto, "unplanned_failover").properties.active_location == "Recovery"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"instanceType": "A2A"}, "OperationNotYetSupported"),
        ({"bascule": {}}, "NoGroup"),
        ({"bascule": "text"}, "InvalidRequestContent"),
        ({"instanceType": 7}, "InvalidRequestContent"),
    ],
)
def test_a_body_that_says_something_else_is_refused(
    server: Served, client: Client, more: dict[str, object], code: str
) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        client(f"{ITEMS}.begin_create", *AT, body(server, **more))
    assert refusal.value.error.code == code


def test_ids_of_another_vault_are_refused(server: Served, client: Client) -> None:
    asked = body(server)
    for field in ("policyId", "protectableItemId"):
        foreign = {**asked["properties"], field: asked["properties"][field].replace("/north/", "/south/")}
        with pytest.raises(HttpResponseError, match="not of this vault"):
            client(f"{ITEMS}.begin_create", *AT, {"properties": foreign})


@pytest.mark.parametrize("point", ["shop/7", "a.b/1", "12"])
def test_a_point_is_found_by_the_name_that_ids_have_for_it(point: str) -> None:
    assert "/" not in point_name(point)
    assert point_of(point_name(point)) == point


def test_the_disks_of_a_machine_are_shown_as_its_host_named_them(server: Served, client: Client) -> None:
    """R-P-7."""
    assert enabled(server, client).properties.provider_specific_details.azure_vm_disk_details == []
    disks = (Disk("disk0", (3 << 20) + 1), Disk("disk1", 1 << 30, False), Disk("disk2", 1 << 30))
    with server.node.catalog.writing() as books:
        books.items.save(replace(books.items.named("north", "shop"), disks=disks))
    details = client(f"{ITEMS}.get", *AT).properties.provider_specific_details
    assert [
        (one.vhd_id, one.vhd_name, one.disk_id, one.max_size_mb, one.lun_id, one.vhd_type)
        for one in details.azure_vm_disk_details
    ] == [("disk0", "disk0", "disk0", "4", "0", None), ("disk2", "disk2", "disk2", "1024", "2", None)]
    assert details["bascule"]["disks"][1] == {"id": "disk1", "sizeBytes": 1 << 30, "isReplicated": False}


def test_what_a_machine_is_to_be_over_there_is_kept_and_shown(server: Served, client: Client) -> None:
    item: Any = enabled(server, client)

    def update(**properties: object) -> Any:
        poller: Any = client(f"{ITEMS}.begin_update", *AT, {"properties": properties})
        return poller.result().properties.provider_specific_details

    card = {
        "nicId": "net0",
        "ipConfigs": [{"recoverySubnetName": "/x/lan", "tfoStaticIPAddress": "10.0.0.9/24"}],
    }
    update(recoveryAzureVMName="shop-dr", recoveryAzureVMSize="Bascule_4x8192", vmNics=[card])
    said = update(
        selectedTfoAzureNetworkId="/x/lab", vmNics=[{"nicId": "net1", "selectionType": "NotSelected"}]
    )
    assert (said.recovery_azure_vm_name, said.recovery_azure_vm_size) == ("shop-dr", "Bascule_4x8192")
    assert [(one.nic_id, one.selection_type) for one in said.vm_nics] == [
        ("net0", "SelectedByUser"),
        ("net1", "NotSelected"),
    ]
    assert said.vm_nics[0].tfo_vm_network_id == "lab"
    assert said.vm_nics[0].ip_configs[0].recovery_subnet_name == "lan"
    id = item.properties.provider_specific_details.vm_id
    (effect,) = [one for one in server.node.sites.effects(id) if "lab" in one]
    kept = json.loads(effect.removeprefix("reshape "))
    assert kept["failover"]["machines"][id]["cards"]["net0"]["network"] == "lan"
    assert kept["failover"]["machines"][id]["cpus"] == 4
    assert kept["test"]["machines"][id]["cards"]["net0"]["address"] == "10.0.0.9/24"
    sizes: Any = list(client("target_compute_sizes.list_by_replication_protected_items", *AT))
    assert "Bascule_2x4096" in {one.name for one in sizes}
    for wrong in (
        {"recoveryAzureVMSize": "Standard_F2s_v2"},
        {"recoveryAvailabilitySetId": "/x"},
        {"vmNics": [{}]},
    ):
        with pytest.raises(HttpResponseError):
            update(**wrong)
