"""A cloud that misbehaves, played by a little HTTP server, so that no answer of it is believed blindly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bascule.drivers.objects.cloud.clients import Patience
from bascule.drivers.objects.remote import RemoteStore
from bascule.drivers.objects.s3 import open_s3
from bascule.model.errors import BasculeError, Exists, Missing, Refused, Unavailable
from tests.contracts.objects import names, read_range

pytestmark = pytest.mark.lab

Answer = tuple[int, dict[str, str], bytes]
DATE = "Mon, 03 Mar 2025 10:00:00 GMT"


def store_at(port: int, patience: Patience | None = None) -> RemoteStore:
    settings = {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-3",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    return open_s3("box", "", settings, patience or Patience(2, 2, 2))


@contextmanager
def cloud(answer: Callable[[str, str], Answer]) -> Iterator[RemoteStore]:
    """Serve ``answer(method, path)`` as S3."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, headers, body = answer(self.command, self.path)
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), "last-modified": DATE, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        def log_message(self, *args: object) -> None:
            pass

    for verb in ("GET", "PUT", "HEAD", "POST", "DELETE"):
        setattr(Handler, f"do_{verb}", Handler.handle_any)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield store_at(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def always(status: int, body: bytes = b"", **headers: str) -> Callable[[str, str], Answer]:
    return lambda method, path: (
        status,
        {name.replace("_", "-"): text for name, text in headers.items()},
        body,
    )


def error(code: str) -> bytes:
    return b"<?xml version='1.0'?><Error><Code>%s</Code><Message>m</Message></Error>" % code.encode()


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_a_cloud_that_is_busy_is_asked_later(status: int) -> None:
    with cloud(always(status, error("SlowDown"))) as store:
        verbs = (
            lambda: store.create("a", b"x"),
            lambda: read_range(store, "a", 0, 1),
            lambda: store.stat("a"),
            lambda: names(store),
            lambda: store.delete(["a", "b"]),
        )
        for verb in verbs:
            with pytest.raises(Unavailable, match=f"s3://box.*{status}"):
                verb()


@pytest.mark.parametrize(
    ("status", "code"), [(401, "denied"), (403, "denied"), (400, "refused"), (405, "refused")]
)
def test_a_cloud_that_says_no_is_not_asked_again(status: int, code: str) -> None:
    with cloud(always(status, error("InvalidThing"))) as store:
        for verb in (lambda: store.create("a", b"x"), lambda: store.stat("a"), lambda: names(store)):
            with pytest.raises(Refused, match=f"{status}") as caught:
                verb()
            assert (type(caught.value), caught.value.code) == (Refused, code)


def refusal(store: RemoteStore) -> BasculeError:
    with pytest.raises(BasculeError) as caught:
        store.create("a", b"x")
    return caught.value


def test_a_conflict_is_exists_only_if_the_object_can_be_seen() -> None:
    """S3 answers 409 also when a delete of the name is under way."""
    for put in (409, 412):
        for head, expected in ((200, Exists), (404, Unavailable)):
            answers = {"PUT": (put, {}, b""), "HEAD": (head, {}, b"")}
            with cloud(lambda method, path, answers=answers: answers[method]) as store:
                assert isinstance(refusal(store), expected)


def test_a_create_is_sent_once_and_never_retried_below() -> None:
    seen: list[str] = []

    def answer(method: str, path: str) -> Answer:
        seen.append(method)
        return 503, {}, b""

    with cloud(answer) as store, pytest.raises(Unavailable):
        store.create("a", b"x")
    assert seen == ["PUT"]


def test_a_server_that_ignores_the_range_is_not_believed() -> None:
    with cloud(always(200, b"0123456789", etag='"x"')) as store, pytest.raises((Unavailable, Refused)):
        read_range(store, "a", 5, 3)


def test_a_body_that_breaks_off_is_unavailable() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(
            b"HTTP/1.1 206 Partial Content\r\ncontent-length: 1000\r\ncontent-range: bytes 0-999/5000\r\n"
            b'etag: "x"\r\nlast-modified: %s\r\n\r\nonly a part' % DATE.encode()
        )
        connection.close()

    with raw_server(serve) as store, pytest.raises(Unavailable):
        read_range(store, "a", 0, 1000)


def test_nonsense_is_unavailable() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"\0\1\2 what?\r\n\r\n" * 10)
        connection.close()

    with raw_server(serve) as store:
        for verb in (lambda: store.stat("a"), lambda: names(store), lambda: store.create("a", b"")):
            with pytest.raises(Unavailable):
                verb()


def test_a_silent_server_is_unavailable_in_time() -> None:
    with raw_server(lambda connection: None) as store:
        for verb in (lambda: store.stat("a"), lambda: store.create("a", bytes(5 << 20))):
            with pytest.raises(Unavailable, match="no answer in time"):
                verb()


def test_the_buffer_is_the_callers_again_even_if_the_connection_still_sends() -> None:
    """A server that answers before it took the body: obstore goes on sending after the call."""
    size = 32 << 20
    may_read, received = threading.Event(), bytearray()
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        head = connection.recv(4096)
        received.extend(head.partition(b"\r\n\r\n")[2])
        connection.sendall(b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n")
        may_read.wait(30)
        connection.settimeout(5)
        while len(received) < size and (part := connection.recv(1 << 20)):
            received.extend(part)
        done.set()

    with raw_server(serve) as store:
        buffer = bytearray(b"A" * size)
        with pytest.raises(Unavailable):
            store.create("a", memoryview(buffer))
        buffer[:] = b"B" * size
        buffer.append(1)  # BufferError if anybody still held it.
        may_read.set()
        assert done.wait(30)
    assert received.count(b"A") >= size
    assert received.count(b"B") == 0


@contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[RemoteStore]:
    """Give each connection to ``serve`` in a thread; keep it open afterwards."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                connections.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield store_at(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in connections:
                connection.close()


def listing(*keys: str) -> bytes:
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2025-03-03T10:00:00.000Z</LastModified>"
        f"<ETag>x</ETag><Size>1</Size></Contents>"
        for key in keys
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()


def test_a_listing_out_of_order_is_refused() -> None:
    with (
        cloud(always(200, listing("a/b", "a-b"))) as store,
        pytest.raises(Refused, match="hierarchical namespaces"),
    ):
        names(store)


def test_a_listing_stops_once_it_is_past_the_prefix_and_skips_what_is_no_object() -> None:
    with cloud(always(200, listing("p/0", "p/1", "p/1 not ours", "p/12", "p/2", "p/3"))) as store:
        assert names(store, "p/1") == ["p/1", "p/12"]
        assert names(store, "p/1", after="p/1") == ["p/12"]


@pytest.mark.parametrize(
    ("code", "said"), [("NoSuchBucket", "create the bucket first"), ("NoSuchKey", "no such object")]
)
def test_a_missing_bucket_is_told_from_a_missing_object(code: str, said: str) -> None:
    with cloud(always(404, error(code))) as store, pytest.raises(Missing, match=said):
        read_range(store, "a", 0, 1)
