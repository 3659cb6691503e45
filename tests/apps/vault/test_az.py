"""Azure's own command line against a server of vaults, by the certificate of the server's own authority."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from bascule.apps.vault.api_door import FIRST
from lab.servers.vaults import VaultServer

PYTHON = Path(__file__).parents[3] / ".cache" / "azcli" / "bin" / "python"


@dataclass(frozen=True)
class Az:
    """The command line, with a folder of its own for what it remembers."""

    folder: Path
    authority: str

    def begun(self, *words: str) -> subprocess.Popen[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AZURE_")},
            **{"AZURE_CONFIG_DIR": str(self.folder), "REQUESTS_CA_BUNDLE": self.authority},
            **{"AZURE_CORE_COLLECT_TELEMETRY": "no", "AZURE_CORE_CHECK_FOR_UPGRADE": "no"},
            **{"AZURE_CORE_NO_COLOR": "yes", "AZURE_CORE_INSTANCE_DISCOVERY": "false"},
            "AZURE_CORE_LOGIN_EXPERIENCE_V2": "off",
        }
        # What Python compiled is kept: it is most of what a command takes.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return subprocess.Popen(
            [str(PYTHON), "-m", "azure.cli", *words, "-o", "json"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *words: str) -> tuple[int, str, str]:
        with self.begun(*words) as running:
            said, wrong = running.communicate(timeout=240)
            return running.returncode, said, wrong

    def __call__(self, *words: str) -> Any:
        """Return what a command that succeeds says."""
        code, said, wrong = self.command(*words)
        assert code == 0, wrong
        return json.loads(said) if said.strip() else None

    def know(self, url: str, login: str) -> None:
        """Know the server as a cloud in which one signs in there, and use it."""
        self(
            *("cloud", "register", "--name", "Bascule", "--endpoint-resource-manager", url),
            *("--endpoint-active-directory", login, "--endpoint-active-directory-resource-id", f"{url}/"),
            *("--endpoint-management", url, "--profile", "latest"),
        )
        self("cloud", "set", "--name", "Bascule")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    with VaultServer(tmp_path_factory.mktemp("az") / "srv") as server:
        yield server


@pytest.fixture
def said(server: VaultServer) -> dict[str, str]:
    return json.loads((server.folder / FIRST).read_text())


@pytest.mark.lab
def test_azures_own_command_line_signs_in_in_the_form_of_adfs(said: dict[str, str], tmp_path: Path) -> None:
    az = Az(tmp_path, said["authority"])
    az.know(said["url"], f"{said['url']}/adfs")
    who = ("--username", said["client_id"], "--tenant", said["tenant"])
    (found,) = az("login", "--service-principal", *who, "--password", said["client_secret"])
    assert (found["id"], found["tenantId"]) == (said["subscription"], said["tenant"])


@pytest.mark.lab
def test_azures_own_command_line_signs_in_and_drives_the_server(said: dict[str, str], tmp_path: Path) -> None:
    az, vault = Az(tmp_path, said["authority"]), "north"
    az.know(said["url"], said["url"])
    who = ("--username", said["client_id"], "--tenant", said["tenant"])
    code, _, wrong = az.command("login", "--service-principal", *who, "--password", "wrong")
    assert (code, "the client or its secret is not known here" in wrong) == (1, True)

    az("login", "--service-principal", *who, "--password", said["client_secret"])
    assert az("account", "show")["id"] == said["subscription"]
    assert [(one["tenantId"], one["state"]) for one in az("account", "list")] == [(said["tenant"], "Enabled")]

    group = f"/subscriptions/{said['subscription']}/resourceGroups/rg"
    home = f"{group}/providers/Microsoft.RecoveryServices/vaults/{vault}"
    version = "?api-version=2025-08-01"
    place = json.dumps({"location": "onpremises"})
    assert az("rest", "--method", "put", "--url", home + version, "--body", place)["name"] == vault
    site = json.dumps({"properties": {"customDetails": {"instanceType": "HyperVSite"}}})
    az("rest", "--method", "put", "--url", f"{home}/replicationFabrics/site-1{version}", "--body", site)
    sites = az("rest", "--url", f"{home}/replicationFabrics{version}")["value"]
    assert [one["name"] for one in sites] == ["site-1"]
    health = f"{home}/replicationVaultHealth/default/refresh{version}"
    assert az("rest", "--method", "post", "--url", health)["properties"]["vaultErrors"] == []
    code, _, wrong = az.command("rest", "--url", f"{home}/replicationFabrics/site-9{version}")
    assert (code, "ResourceNotFound" in wrong) == (1, True)
    assert vault in {one["name"] for one in az("backup", "vault", "list")}


@pytest.mark.lab
def test_a_person_signs_in_by_password_and_on_a_device(said: dict[str, str], tmp_path: Path) -> None:
    az = Az(tmp_path / "adfs", said["authority"])
    # In the form of AAD it asks for the user's realm at port 443, whatever the port of the authority is.
    az.know(said["url"], f"{said['url']}/adfs")
    form = {**said, "grant_type": "client_credentials"}
    url, usual = said["url"], {"verify": said["authority"], "timeout": 30}
    token = requests.post(f"{url}/{said['tenant']}/oauth2/v2.0/token", data=form, **usual).json()
    owner = {"Authorization": f"Bearer {token['access_token']}"}
    path = f"{url}/subscriptions/{said['subscription']}/providers/Bascule/users/carla?api-version=2025-08-01"
    made = requests.put(path, json={"properties": {}}, headers=owner, **usual).json()
    password, tenant = made["properties"]["password"], ("--tenant", said["tenant"])

    (found,) = az("login", "--username", "carla", "--password", password, *tenant)
    assert (found["id"], found["user"]) == (said["subscription"], {"name": "carla", "type": "user"})
    az = Az(tmp_path / "aad", said["authority"])
    az.know(said["url"], said["url"])
    with az.begun("login", "--use-device-code", *tenant) as waiting:
        line = waiting.stderr.readline()
        code = re.search(r"enter the code (\S+)\.", line)
        assert code, line + waiting.stderr.read()
        agreed = {"code": code[1], "user": "carla", "password": password}
        assert requests.post(f"{url}/device", data=agreed, **usual).status_code == 200
        answer, wrong = waiting.communicate(timeout=240)
    assert waiting.returncode == 0, wrong
    assert json.loads(answer)[0]["user"]["name"] == "carla"
    # What was got at the sign-in is for signing in; this one is got by the session.
    assert az("rest", "--url", f"/subscriptions/{said['subscription']}?api-version=2022-12-01")["state"]
