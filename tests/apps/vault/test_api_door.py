"""The API of a server: found with its own authority, by the official SDK, and patient only so long."""

from __future__ import annotations

import _ssl
import contextlib
import hashlib
import json
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.identity import ClientSecretCredential
from azure.mgmt.recoveryservices import RecoveryServicesClient
from azure.mgmt.recoveryservicessiterecovery import SiteRecoveryManagementClient

from bascule.apps.chance import SystemClock, SystemIds
from bascule.apps.vault import api_door, listener
from bascule.apps.vault.api_door import FIRST, ApiDoor, names_of
from bascule.drivers.pki.authority import FolderAuthority
from bascule.front.api import bodies
from bascule.front.cli.vault.settings import ServerSettings
from lab.servers.vaults import VaultServer
from tests.control.service.desks import OWNER, desks
from tests.front.api import certificates

pytestmark = pytest.mark.lab


def clients(said: dict[str, str]) -> tuple[RecoveryServicesClient, SiteRecoveryManagementClient]:
    """Return the SDK's clients, from nothing but the file of the first principal."""
    credential = ClientSecretCredential(
        *(said["tenant"], said["client_id"], said["client_secret"]),
        authority=said["url"],
        disable_instance_discovery=True,
        connection_verify=said["authority"],
    )
    usual: dict[str, Any] = {
        **{"base_url": said["url"], "credential_scopes": [f"{said['url']}/.default"]},
        "connection_verify": said["authority"],
    }
    subscription = said["subscription"]
    return (
        RecoveryServicesClient(credential, subscription, **usual),
        SiteRecoveryManagementClient(credential, subscription, **usual),
    )


def test_the_sdk_drives_a_server_from_its_first_principals_file(tmp_path: Path) -> None:
    with VaultServer(tmp_path / "srv") as server:
        path = tmp_path / "srv" / FIRST
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        said = json.loads(path.read_text())
        assert said["url"] == server.api
        vaults, recovery = clients(said)
        vaults.vaults.begin_create_or_update("rg", "north", {"location": "onpremises"}).result()
        site = {"properties": {"customDetails": {"instanceType": "HyperVSite"}}}
        recovery.replication_fabrics.begin_create("rg", "north", "site-1", site).result()
        policy = {"properties": {"providerSpecificInput": {"instanceType": "HyperVReplicaAzure"}}}
        recovery.replication_policies.begin_create("rg", "north", "daily", policy).result()
        server.kill()
        path.unlink()
        port = server.api.rpartition(":")[2]
        with VaultServer(tmp_path / "srv", "--api", f"127.0.0.1:{port}"):
            # The same secret, and no other: the first principal is made once.
            assert [one.name for one in recovery.replication_fabrics.list("rg", "north")] == ["site-1"]
            assert [one.name for one in vaults.vaults.list_by_subscription_id()] == ["north"]
            assert not path.exists()


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiDoor]:
    monkeypatch.setattr(listener, "HEAD_SECONDS", 0.5)
    clock, ids = SystemClock(), SystemIds()
    authority = FolderAuthority.make(tmp_path / "pki", clock, ids)
    door = ApiDoor(ServerSettings(tmp_path, api="127.0.0.1:0"), authority, clock)
    with desks(tmp_path) as (service, _), door.open(service, ids):
        yield door


def connected(door: ApiDoor, authority: Path) -> ssl.SSLSocket:
    port = int(door.base.rpartition(":")[2])
    context = ssl.create_default_context(cafile=str(authority))
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


@pytest.mark.parametrize(
    "head", [b"", b"GET / HT", b"GET /metadata/endpoints HTTP/1.1\r\nHost: x\r\n\r\nGET /"]
)
def test_who_does_not_finish_the_head_of_a_request_is_let_go(
    opened: ApiDoor, tmp_path: Path, head: bytes
) -> None:
    with connected(opened, tmp_path / "pki/authority.pem") as slow:
        slow.sendall(head)
        said = b""
        try:
            while part := slow.recv(1 << 16):
                said += part
        except (ConnectionError, ssl.SSLEOFError):
            pass
    assert said.startswith(b"HTTP/1.1 200" if head.endswith(b"GET /") else b"")


@pytest.mark.parametrize(
    "head",
    [
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello",
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\nhello",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
    ],
)
def test_a_request_that_two_would_read_differently_is_refused(
    opened: ApiDoor, tmp_path: Path, head: bytes
) -> None:
    with connected(opened, tmp_path / "pki/authority.pem") as sly:
        sly.sendall(head)
        status = sly.recv(1 << 16).split(b" ")[1]
    assert status in (b"400", b"401", b"413", b"501"), status


def test_what_follows_a_body_of_two_lengths_is_no_request(opened: ApiDoor, tmp_path: Path) -> None:
    hidden = b"GET /metadata/endpoints HTTP/1.1\r\nHost: x\r\n\r\n"
    lengths = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with connected(opened, tmp_path / "pki/authority.pem") as sly:
        sly.sendall(b"POST /metadata/endpoints HTTP/1.1\r\nHost: x\r\n" + lengths + hidden)
        said = b""
        while part := sly.recv(1 << 16):
            said += part
    assert said.startswith(b"HTTP/1.1 401")
    assert said.count(b"HTTP/1.1 ") == 1


def test_what_follows_chunks_is_no_request(opened: ApiDoor, tmp_path: Path) -> None:
    """Of their extensions and trailers too, whatever stands before us may read another end."""
    hidden = b"GET /metadata/endpoints HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(opened, tmp_path / "pki/authority.pem") as sly:
        head = b"POST /metadata/endpoints HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        sly.sendall(head + b"2;a\rb\r\n{}\r\n0\r\nA: b\n\n" + hidden)
        said = b""
        while part := sly.recv(1 << 16):
            said += part
    assert said.startswith(b"HTTP/1.1 401")
    assert said.count(b"HTTP/1.1 ") == 1


TOKEN = b"POST /adfs/oauth2/token HTTP/1.1\r\nHost: x\r\n"
MIB = 1 << 20


@pytest.mark.parametrize(
    ("length", "piece"),
    [
        (b"Content-Length: %d" % (100 * MIB), bytes(MIB)),
        (b"Transfer-Encoding: chunked", b"100000\r\n" + bytes(MIB) + b"\r\n"),
    ],
    ids=["said", "in chunks"],
)
def test_a_hundred_megabytes_are_refused_at_the_first_and_not_kept(
    opened: ApiDoor, tmp_path: Path, length: bytes, piece: bytes
) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before, most = resident(), 0
    with connected(opened, tmp_path / "pki/authority.pem") as line:
        line.sendall(TOKEN + length + b"\r\n\r\n" + piece * 2)
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 413")
        with contextlib.suppress(OSError):  # it may be cut off
            for _ in range(98):
                line.sendall(piece)
                most = max(most, resident())
    assert most - before < 24 * MIB


@pytest.mark.parametrize("length", [b"Content-Length: 50", b"Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_not_waited_for(
    opened: ApiDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: bytes
) -> None:
    monkeypatch.setattr(bodies, "_SECONDS", 0.5)
    with connected(opened, tmp_path / "pki/authority.pem") as slow:
        slow.sendall(TOKEN + length + b"\r\n\r\n5\r\nab")
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 408")


def test_who_sends_no_requests_is_written_down(tmp_path: Path) -> None:
    clock, ids = SystemClock(), SystemIds()
    authority = FolderAuthority.make(tmp_path / "pki", clock, ids)
    door = ApiDoor(ServerSettings(tmp_path, api="127.0.0.1:0"), authority, clock)
    with desks(tmp_path) as (service, _):
        with door.open(service, ids):
            for _ in range(3):
                with connected(door, tmp_path / "pki/authority.pem") as sly:
                    sly.sendall(b"GET /x HTTP/1.1\nHost: x\n\n")
                    assert json.loads(sly.recv(1 << 16).partition(b"\r\n\r\n")[2])["error"]["message"]
            door.check()
        service.gate.settle()
        said = [one.detail for one in service.vaults.deeds(OWNER, "", 100) if one.code == "bad-http"]
    assert len(said) == 2
    assert "refused again, 2 times" in said


def chain(port: int) -> list[bytes]:
    """Return the certificates that a server shows, without trusting any of them."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain) as shown,
    ):
        return [one.public_bytes(_ssl.ENCODING_DER) for one in shown._sslobj.get_unverified_chain()]


def test_a_client_that_trusts_nobody_yet_is_shown_what_it_may_trust(opened: ApiDoor, tmp_path: Path) -> None:
    text = (tmp_path / "pki/authority.pem").read_text()
    last = chain(int(opened.base.rpartition(":")[2]))[-1]
    assert last == ssl.PEM_cert_to_DER_cert(text)
    assert opened.files.fingerprint == hashlib.sha256(last).digest().hex(":").upper()
    assert opened.vouched().startswith("holds until ")


def test_an_owners_own_certificate_is_shown_instead(tmp_path: Path) -> None:
    certificate, key = certificates.make(tmp_path)
    with VaultServer(tmp_path / "srv", "--certificate", str(certificate), "--key", str(key)) as server:
        said = json.loads((tmp_path / "srv" / FIRST).read_text())
        assert (said["url"], said["authority"]) == (server.api, str(certificate))
        assert [one.name for one in clients(said)[0].vaults.list_by_subscription_id()] == []
        (shown,) = chain(int(server.api.rpartition(":")[2]))
        assert server.fingerprint == hashlib.sha256(shown).digest().hex(":").upper()


def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_door, "_RENEWAL_LOOK_SECONDS", -1.0)
    clock, ids = SystemClock(), SystemIds()
    certificate, key = certificates.make(tmp_path)
    authority = FolderAuthority.make(tmp_path / "pki", clock, ids)
    settings = ServerSettings(tmp_path, api="127.0.0.1:0", certificate=certificate, key=key)
    door = ApiDoor(settings, authority, clock)
    with desks(tmp_path) as (service, _), door.open(service, ids):
        port = int(door.base.rpartition(":")[2])
        first = chain(port)
        certificate.write_text("half a")
        door.check()
        assert chain(port) == first
        certificates.make(tmp_path)
        door.check()
        assert chain(port) != first


def test_a_server_is_called_by_its_machines_names_and_those_that_are_told() -> None:
    assert names_of("10.0.0.7:1", ("vault.example",))[:2] == ("10.0.0.7", "vault.example")
    assert names_of("0.0.0.0:1", ())[0] == socket.gethostname()
