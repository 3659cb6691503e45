"""Azure's own command line against a server of vaults, by the certificate of the server's own authority."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bascule.apps.vault.api_door import FIRST
from lab.servers.vaults import VaultServer

PYTHON = Path(__file__).parents[3] / ".cache" / "azcli" / "bin" / "python"


@dataclass(frozen=True)
class Az:
    """The command line, with a folder of its own for what it remembers."""

    folder: Path
    authority: str

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AZURE_")},
            **{"AZURE_CONFIG_DIR": str(self.folder), "REQUESTS_CA_BUNDLE": self.authority},
            **{"AZURE_CORE_COLLECT_TELEMETRY": "no", "AZURE_CORE_CHECK_FOR_UPGRADE": "no"},
            **{"AZURE_CORE_NO_COLOR": "yes", "AZURE_CORE_INSTANCE_DISCOVERY": "false"},
        }
        # What Python compiled is kept: it is most of what a command takes.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return subprocess.run(
            [str(PYTHON), "-m", "azure.cli", *words, "-o", "json"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def __call__(self, *words: str) -> Any:
        """Return what a command that succeeds says."""
        done = self.command(*words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

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
    refused = az.command("login", "--service-principal", *who, "--password", "wrong")
    assert refused.returncode == 1
    assert "the client or its secret is not known here" in refused.stderr

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
    missing = az.command("rest", "--url", f"{home}/replicationFabrics/site-9{version}")
    assert missing.returncode == 1
    assert "ResourceNotFound" in missing.stderr
    assert vault in {one["name"] for one in az("backup", "vault", "list")}
