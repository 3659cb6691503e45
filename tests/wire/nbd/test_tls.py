"""Encrypted connections: ours with ours, and with qemu-nbd, nbdkit, nbdcopy and qemu-io."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bascule.model.errors import Damaged, Refused, Unavailable
from bascule.wire.nbd.address import Address
from bascule.wire.nbd.client import Client
from bascule.wire.nbd.connecting import Access, exports_of
from bascule.wire.nbd.server import Ended, Server
from bascule.wire.nbd.session import Limits, ServerTls

MIB = 1024 * 1024


def authority(folder: Path) -> Path:
    """Make an authority and what it signs, under the names that GnuTLS programs look for."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    now = datetime.datetime.now(datetime.UTC)

    def certify(name: x509.Name, key: ec.EllipticCurvePrivateKey, is_ca: bool) -> x509.Certificate:
        names: list[x509.GeneralName] = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(ca_name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        if not is_ca:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(ca_key, hashes.SHA256())

    def keep(stem: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{stem}-key.pem").write_bytes(key.private_bytes(*form))
        (folder / f"{stem}-cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    folder.mkdir()
    keep("ca", ca_key, certify(ca_name, ca_key, True))
    for stem in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        keep(stem, key, certify(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)]), key, False))
    return folder


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("pki") / "theirs")


def client_side(pki: Path, *, certificate: bool = True) -> Access:
    context = ssl.create_default_context(cafile=str(pki / "ca-cert.pem"))
    if certificate:
        context.load_cert_chain(pki / "client-cert.pem", pki / "client-key.pem")
    return Access(tls=context, timeout=5)


def server_side(pki: Path, *, required: bool = True, mutual: bool = True) -> ServerTls:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "ca-cert.pem"))
    context.load_cert_chain(pki / "server-cert.pem", pki / "server-key.pem")
    context.verify_mode = ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE
    return ServerTls(context, required)


@pytest.fixture(params=["tcp", "unix"])
def secure(
    request: pytest.FixtureRequest, pki: Path, disk, tmp_path: Path, ended: list[Ended]
) -> Iterator[Server]:
    where = (
        Address("localhost", 0, tls=True)
        if request.param == "tcp"
        else Address(path=str(tmp_path / "t"), tls=True)
    )
    with Server({"": disk}, where, tls=server_side(pki), report=ended.append) as running:
        yield running


@pytest.fixture
def over_tcp(pki: Path, disk, ended: list[Ended]) -> Iterator[Server]:
    where = Address("localhost", 0, tls=True)
    with Server({"": disk}, where, tls=server_side(pki), report=ended.append) as running:
        yield running


def read(client: Client, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    client.read_into(offset, memoryview(buffer))
    return bytes(buffer)


@pytest.mark.lab
def test_what_is_written_under_tls_is_read_back(secure: Server, pki: Path, disk) -> None:
    data = Random(1).randbytes(9 * MIB + 17)
    disk.cold = {2 * MIB, 5 * MIB}  # the crew sends while the other thread receives
    with Client.connect(secure.address, contexts=["base:"], access=client_side(pki)) as client:
        client.write(5, memoryview(data), fua=True)
        assert read(client, 5, len(data)) == data
        buffers = [(at * 4096, memoryview(bytearray(4096))) for at in range(2048)]
        for done in client.read_many(buffers, depth=64):
            assert done.buffer == (bytes(5) + data)[done.offset : done.offset + 4096]
        assert [flags for _, _, flags in client.extents("base:allocation")] == [0, 3]


def test_exports_are_listed_under_tls(secure: Server, pki: Path) -> None:
    assert exports_of(secure.address, access=client_side(pki)) == [""]


def test_a_client_without_tls_is_turned_away(secure: Server) -> None:
    plain = Address(secure.address.host, secure.address.port, secure.address.path)
    with pytest.raises(Refused, match="wants TLS"):
        Client.connect(plain)


def test_a_client_without_a_certificate_is_turned_away(over_tcp: Server, pki: Path) -> None:
    with pytest.raises(Refused, match="TLS with"):
        Client.connect(over_tcp.address, access=client_side(pki, certificate=False))


def test_a_client_with_a_strangers_certificate_is_turned_away(
    over_tcp: Server, pki: Path, strangers: Path
) -> None:
    access = client_side(pki, certificate=False)
    assert access.tls is not None
    access.tls.load_cert_chain(strangers / "client-cert.pem", strangers / "client-key.pem")
    with pytest.raises(Refused, match="TLS with"):
        Client.connect(over_tcp.address, access=access)


def test_a_server_nobody_vouches_for_is_not_trusted(over_tcp: Server, strangers: Path) -> None:
    with pytest.raises(Refused, match="certificate verify failed"):
        Client.connect(over_tcp.address, access=client_side(strangers))


def test_a_server_of_another_name_is_not_trusted(over_tcp: Server, pki: Path) -> None:
    tls = client_side(pki).tls
    with pytest.raises(Refused, match="elsewhere"):
        Client.connect(over_tcp.address, access=Access(tls, "elsewhere.example"))


def test_where_tls_may_be_used_both_kinds_of_client_are_served(pki: Path, disk) -> None:
    tls = server_side(pki, required=False, mutual=False)
    with Server({"": disk}, Address("localhost", 0), tls=tls) as server:
        with Client.connect(server.address) as plain:
            plain.write(0, memoryview(b"plain"))
        with Client.connect(server.address, access=client_side(pki, certificate=False)) as secret:
            assert read(secret, 0, 5) == b"plain"


def test_rubbish_instead_of_a_tls_handshake_ends_one_connection(
    over_tcp: Server, ended: list[Ended], pki: Path
) -> None:
    start = b"\0\0\0\3" + b"IHAVEOPT" + b"\0\0\0\5\0\0\0\0"
    for rubbish in (b"", b"\x16\x03", b"GET / HTTP/1.1\r\n\r\n" * 100, start * 50):
        where = (over_tcp.address.host, over_tcp.address.port)
        with socket.create_connection(where, 10) as connected, contextlib.suppress(OSError):
            connected.sendall(start + rubbish)
            connected.shutdown(socket.SHUT_WR)
            while connected.recv(4096):
                pass
    with Client.connect(over_tcp.address, access=client_side(pki)) as client:
        assert read(client, 0, 1) == b"\0"
    over_tcp.stop()
    assert len([end for end in ended if end.error]) == 4


def test_a_tls_handshake_is_not_waited_for_without_end(pki: Path, disk) -> None:
    limits = Limits(handshake_seconds=0.3)
    with Server({"": disk}, Address("localhost", 0), tls=server_side(pki), limits=limits) as server:
        where = (server.address.host, server.address.port)
        with socket.create_connection(where, 10) as connected, contextlib.suppress(ConnectionResetError):
            connected.sendall(b"\0\0\0\3" + b"IHAVEOPT" + b"\0\0\0\5\0\0\0\0" + b"\x16\x03\x01")
            while connected.recv(4096):
                pass


def pump(source: socket.socket, sink: socket.socket, change_at: int) -> None:
    """Pass bytes on, one of them changed."""
    seen = 0
    with contextlib.suppress(OSError):
        while data := bytearray(source.recv(65536)):
            if seen <= change_at < seen + len(data):
                data[change_at - seen] ^= 1
            seen += len(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def test_a_byte_changed_on_the_way_is_damaged(over_tcp: Server, pki: Path, disk) -> None:
    disk.write(0, memoryview(bytes(range(256)) * 4096))
    behind = socket.create_connection((over_tcp.address.host, over_tcp.address.port), 10)
    ours, middle = socket.socketpair()
    with behind, middle:
        threads = [
            threading.Thread(target=pump, args=(middle, behind, -1)),
            threading.Thread(target=pump, args=(behind, middle, 500_000)),
        ]
        for thread in threads:
            thread.start()
        access = client_side(pki)
        client = Client.over(ours, access=Access(access.tls, "localhost", 5))
        with pytest.raises(Damaged, match="TLS"):
            read(client, 0, MIB)
        with contextlib.suppress(OSError):
            behind.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            middle.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)


def test_a_connection_cut_under_tls_is_unavailable(pki: Path, disk) -> None:
    with Server({"": disk}, Address("localhost", 0), tls=server_side(pki)) as server:
        client = Client.connect(server.address, access=client_side(pki))
        server.stop()
        with pytest.raises(Unavailable):
            read(client, 0, 1)


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.lab
def test_nbdcopy_writes_and_reads_under_tls(over_tcp: Server, pki: Path, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(Random(3).randbytes(5 * MIB) + bytes(11 * MIB))
    where = f"{over_tcp.address}?tls-certificates={pki}"
    run("nbdcopy", source, where)
    run("nbdcopy", where, back)
    assert back.read_bytes() == source.read_bytes()


@pytest.mark.lab
def test_qemu_io_writes_and_reads_under_tls(over_tcp: Server, pki: Path) -> None:
    creds = f"tls-creds-x509,id=t,endpoint=client,dir={pki}"
    image = f"driver=nbd,host=localhost,port={over_tcp.address.port},tls-creds=t"
    commands = ["-c", "write -P 7 0 5M", "-c", "read -P 7 0 5M", "-c", "flush"]
    run("qemu-io", "--object", creds, "--image-opts", *commands, image)


@pytest.mark.lab
def test_nbdkit_demands_and_gets_our_certificate(spawn: Callable[..., Address], pki: Path) -> None:
    tls = ["--tls=require", f"--tls-certificates={pki}", "--tls-verify-peer"]
    where = spawn("nbdkit", "-f", "-U", "{socket}", *tls, "pattern", "4M")
    with Client.connect(where, access=client_side(pki)) as client:
        assert read(client, 8 * 1000, 16) == (8000).to_bytes(8, "big") + (8008).to_bytes(8, "big")
    with pytest.raises(Refused, match="wants TLS"):
        Client.connect(where)


@pytest.mark.lab
def test_qemu_nbd_demands_and_gets_our_certificate(
    spawn: Callable[..., Address], pki: Path, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    image.write_bytes(Random(9).randbytes(4 * MIB))
    creds = f"tls-creds-x509,id=t,endpoint=server,dir={pki},verify-peer=on"
    where = spawn(
        "qemu-nbd", "-t", "-f", "raw", "-k", "{socket}", "--object", creds, "--tls-creds", "t", str(image)
    )
    with Client.connect(where, access=client_side(pki)) as client:
        assert read(client, 0, 4 * MIB) == image.read_bytes()
    with pytest.raises(Refused, match="wants TLS"):
        Client.connect(where)
