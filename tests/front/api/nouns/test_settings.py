"""What is set for a vault, what the server offers, and what a site of hosts has none of."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from bascule.front.api.nouns import absent
from bascule.front.api.table.operations import Standing, operations, standing
from bascule.model.vault.signs.event import Condition, Health
from tests.control.service.desks import OWNER, ROUTE
from tests.front.api.nouns.test_shapes import strangers
from tests.front.api.serving import Served

pytestmark = pytest.mark.lab

F = ("site-1",)
C = ("site-1", "site-1")


def test_a_vault_stays_where_it_was_made_and_its_tags_are_kept(server: Served) -> None:
    client = server.vaults().vaults
    asked = {"location": "France Central", "tags": {"who": "anna"}, "sku": {"name": "RS0"}}
    made = client.begin_create_or_update("RG-2", "east", asked).result()
    assert (made.location, made.tags, made.sku.name) == ("France Central", {"who": "anna"}, "RS0")
    assert made.id == server.home("east").replace("/rg/", "/RG-2/")
    again = client.begin_create_or_update("rg-2", "East", {**asked, "location": "francecentral"}).result()
    assert (again.id, again.etag) == (made.id, made.etag)
    changed = client.begin_update("rg-2", "east", {"tags": {"who": "otto", "why": "é"}}).result()
    assert (changed.tags, changed.sku.name) == ({"who": "otto", "why": "é"}, "RS0")
    assert changed.etag != made.etag
    assert client.begin_update("rg-2", "east", {}).result().tags == changed.tags
    assert [one.name for one in client.list_by_resource_group("rg-2")] == ["east"]
    assert "east" in [one.name for one in client.list_by_subscription_id()]
    assert list(strangers(changed)) == []
    client.begin_delete("rg", "east").result()
    assert client.get("rg-2", "east").name == "east"
    client.begin_delete("rg-2", "east").result()
    with pytest.raises(ResourceNotFoundError):
        client.get("rg-2", "east")


def test_a_vault_is_found_in_its_own_group_only(server: Served) -> None:
    client = server.vaults().vaults
    with pytest.raises(ResourceNotFoundError, match="it is in rg"):
        client.get("another", "north")
    with pytest.raises(ResourceNotFoundError):
        list(server.recovery(group="another")("replication_fabrics.list"))
    with pytest.raises(ResourceExistsError, match="in the resource group rg"):
        client.begin_create_or_update("another", "north", {"location": "onpremises"}).result()
    with pytest.raises(ResourceExistsError, match="in onpremises"):
        client.begin_create_or_update("rg", "north", {"location": "westeurope"}).result()
    assert [one.name for one in client.list_by_resource_group("another")] == []


@pytest.mark.parametrize(
    "more", [{"tags": 7}, {"tags": {"a": 7}}, {"location": "x" * 99}, {"tags": {"": "x"}}]
)
def test_a_vault_that_cannot_be_is_refused(server: Served, more: dict[str, object]) -> None:
    answer = server.ask(server.home("west"), "PUT", json={"location": "onpremises", **more})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_name_is_free_or_it_is_said_why_not(server: Served) -> None:
    said = {}
    for name in ("NORTH", "fresh", "7"):
        parameters = {"name": name, "type": "Microsoft.RecoveryServices/Vaults"}
        found = server.vaults().recovery_services.check_name_availability("rg", "onpremises", parameters)
        said[name] = (found.name_available, found.reason)
    assert said == {"NORTH": (False, "AlreadyExists"), "fresh": (True, None), "7": (False, "Invalid")}


def test_what_is_limited_is_counted(server: Served) -> None:
    found = {
        one.name.value: one.current_value for one in server.vaults().usages.list_by_vaults("rg", "north")
    }
    assert found["RegisteredServers"] == 2


def test_alerts_go_to_the_mailboxes_that_are_named(server: Served) -> None:
    client = server.recovery("anna")
    asked = {
        "properties": {"sendToOwners": "DoNotSend", "customEmailAddresses": ["a@b.example"], "locale": "en"}
    }
    made: Any = client("replication_alert_settings.create", "defaultAlertSetting", asked)
    assert made.properties.custom_email_addresses == ["a@b.example"]
    assert server.service.signs.alerts(OWNER, "north").mailboxes == ("a@b.example",)
    (one,) = client("replication_alert_settings.list")
    assert list(strangers(one)) == []
    assert client("replication_alert_settings.get", "DEFAULTALERTSETTING").id == one.id
    for wrong in ({"sendToOwners": "Send"}, {"locale": "tlh"}, {"customEmailAddresses": ["nobody"]}):
        with pytest.raises(HttpResponseError):
            client("replication_alert_settings.create", "defaultAlertSetting", {"properties": wrong})
    with pytest.raises(ResourceNotFoundError):
        client("replication_alert_settings.get", "another")


def test_the_setting_of_a_vault_asks_for_nothing(server: Served) -> None:
    client = server.recovery("anna")
    (one,) = client("replication_vault_setting.list")
    assert (
        client("replication_vault_setting.begin_create", "default", {"properties": {}}).result().id == one.id
    )
    assert client("replication_vault_setting.get", "default").id == one.id
    asked = {"properties": {"vmwareToAzureProviderType": "InMageRcm"}}
    with pytest.raises(HttpResponseError, match="does not know yet"):
        client("replication_vault_setting.begin_create", "default", asked).result()


def test_what_clients_leave_with_a_vault_is_there_for_the_next_one(server: Served) -> None:
    client = server.vaults("anna").vault_extended_info
    with pytest.raises(ResourceNotFoundError) as absence:
        server.vaults().vault_extended_info.get("rg", "south")
    assert absence.value.error.code == "ResourceExtendedInfoNotFound"
    client.create_or_update("rg", "north", {"properties": {"integrityKey": "a2V5", "algorithm": "None"}})
    client.update("rg", "north", {"properties": {"encryptionKey": "b"}})
    found = server.vaults("rita").vault_extended_info.get("rg", "north")
    assert (found.properties.integrity_key, found.properties.encryption_key) == ("a2V5", "b")
    assert list(strangers(found)) == []


def test_a_certificate_brings_a_key_by_which_hosts_join(server: Served) -> None:
    certificate = Path(server.authority).read_bytes()
    for data in (certificate, base64.b64decode("".join(certificate.decode().split("-----")[2].split()))):
        asked = {"properties": {"authType": "AzureActiveDirectory", "certificate": data}}
        made = server.vaults("anna").vault_certificates.create("rg", "north", "CN=CB_north", asked)
        assert made.properties.aad_tenant_id == server.identity.server
        assert len(made.properties.thumbprint) == 40
        assert made.properties.valid_to > made.properties.valid_from
    said = server.ask(
        f"{server.home()}/certificates/CN=CB_north",
        "PUT",
        json={"properties": {"certificate": base64.b64encode(certificate).decode()}},
    ).json()
    assert said["properties"]["bascule"]["fabric"] == "site-1"
    assert said["properties"]["bascule"]["registrationKey"]["secret"]
    for wrong in ("!", "AAAA", ""):
        path = f"{server.home()}/certificates/x"
        answer = server.ask(path, "PUT", json={"properties": {"certificate": wrong}})
        assert answer.status_code == 400, answer.text


def test_what_works_is_listed_as_roles_name_it(server: Served) -> None:
    names = [one.name for one in server.recovery().sdk.operations.list("rg")]
    assert "Microsoft.RecoveryServices/vaults/replicationJobs/restart/action" in names
    assert len(names) == len(set(names)) > 50
    path = "/providers/Microsoft.RecoveryServices/operations"
    assert [one["name"] for one in server.ask(path).json()["value"]] == names


def test_any_system_may_be_protected(server: Served) -> None:
    found = server.recovery("rita")("supported_operating_systems.get")
    (kind,) = found.properties.supported_os_list
    assert (kind.instance_type, len(kind.supported_os)) == ("HyperVReplicaAzure", 2)
    assert list(strangers(found)) == []


def test_an_error_that_holds_is_not_resolved_by_saying_so(server: Served) -> None:
    job = server.service.items.enable(OWNER, "north", "errs", ROUTE)
    server.node.settled()
    with server.node.catalog.writing() as books:
        books.conditions.add(Condition("north", job.item, "rpo", Health.WARNING, 1e9, "late", "wait"))
    client = server.recovery("otto")
    resolve = "replication_protected_items.begin_resolve_health_errors"
    (error,) = client("replication_protected_items.get", *C, "errs").properties.health_errors
    with pytest.raises(ResourceExistsError, match="late, still: wait"):
        client(resolve, *C, "errs", {"properties": {"healthErrors": [{"healthErrorId": error.error_id}]}})
    other = {"properties": {"healthErrors": [{"healthErrorId": "6:8010"}]}}
    assert client(resolve, *C, "errs", other).result().name == "errs"


def test_what_is_none_here_says_so(server: Served) -> None:
    client = server.recovery("anna")
    for listed in ("replicationv_centers", "replication_storage_classifications"):
        assert list(client(f"{listed}.list")) == []
        assert list(client(f"{listed}.list_by_replication_fabrics", *F)) == []
    assert list(client("replication_logical_networks.list_by_replication_fabrics", *F)) == []
    with pytest.raises(ResourceNotFoundError, match="has no vCenter"):
        client("replicationv_centers.get", *F, "v")
    with pytest.raises(HttpResponseError, match="joins by a registration key"):
        client("replication_recovery_services_providers.begin_create", *F, "p", {"properties": {}})
    client("replicationv_centers.begin_delete", *F, "v").result()
    assert (
        list(client("replication_networks.list")) == list(client("replication_network_mappings.list")) == []
    )
    mapping = {"properties": {"recoveryNetworkId": "/vnet"}}
    with pytest.raises(HttpResponseError, match="each machine says in which it is to be"):
        client("replication_network_mappings.begin_create", *F, "lan", "m1", mapping)
    with pytest.raises(ResourceNotFoundError):
        list(client("replicationv_centers.list_by_replication_fabrics", "nowhere"))
    none = {one.name for one in operations() if standing(one, absent.HANDLERS) is Standing.NONE_HERE}
    assert none == set(absent.HANDLERS)


def test_a_site_is_looked_at_and_its_hosts_are_let_go(server: Served) -> None:
    client = server.recovery("anna")
    assert client("replication_fabrics.begin_check_consistency", *F).result().name == "site-1"
    client("replication_fabrics.begin_migrate_to_aad", *F).result()
    refreshed = client("replication_recovery_services_providers.begin_refresh_provider", *F, "h1").result()
    assert refreshed.name == "h1"
    with pytest.raises(ResourceNotFoundError, match="registered host"):
        server.vaults("anna").registered_identities.delete("rg", "north", "h9")
