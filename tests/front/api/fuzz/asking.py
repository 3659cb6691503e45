"""Asks a server whatever it is given to ask, byte by byte, and judges what it says and what it did."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import sqlalchemy as sa
from hypothesis import strategies as st

from bascule.drivers.catalog.tables import SHELVES, VAULTS
from bascule.front.api.table.operations import Operation
from bascule.model.errors import Missing
from bascule.model.policies import Policy
from bascule.model.vault.fabric import Fabric, ProtectableItem, ReplicationPolicy, Server
from bascule.model.vault.item import Protection
from tests.control.service.desks import OWNER, ROUTE
from tests.front.api.fuzz import names, shapes
from tests.front.api.serving import Served

PEOPLE = ("anna", "anna", "anna", "otto", "rita", "nemo", "root")
_SECONDS = 30
_MESSAGE_MAX = 2000
# Whoever is asked would not say these of itself.
_INSIDE = (
    *(
        "Traceback",
        'File "',
        "sqlalchemy",
        "sqlite3",
        "psycopg",
        "SELECT ",
        "INSERT ",
        "bascule.",
        "<class '",
    ),
    *(" object at 0x", "NoneType", "KeyError", "ValueError", "TypeError", "AttributeError", "site-packages"),
)
Rows = Mapping[tuple[str, str, str], str]


@dataclass(frozen=True)
class Asked:
    """One request, with words in capitals for what only a running server knows."""

    who: str
    method: str
    path: str
    query: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def code(self) -> str:
        """Return the code of an error."""
        return str(json.loads(self.text)["error"]["code"]) if self.status >= 400 else ""


@st.composite
def requests(draw: shapes.Draw, operation: Operation) -> Asked:
    """Return a request for an operation, by one who may or may not."""
    who = draw(st.sampled_from(PEOPLE))
    words = []
    for word in operation.path.split("/"):
        asked = draw(names.word(word[1:-1])) if word.startswith("{") else word
        # The owner could take away what all others ask for.
        words.append("south" if who == "root" and word == "{vault}" else asked)
    kind = draw(st.integers(0, 19))
    body = (
        draw(st.binary(max_size=60))
        if kind == 0
        else json.dumps(draw(shapes.bodies(operation.name))).encode()
    )
    return Asked(who, operation.method, "/".join(words), draw(names.QUERIES), body if kind > 1 else b"")


class Asker:
    """Asks over one connection, until it ends."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._at = urlsplit(server.base)
        self._trust = ssl.create_default_context(cafile=server.authority)
        self._line: http.client.HTTPSConnection | None = None
        self._told: Mapping[str, str] = {}

    def close(self) -> None:
        """End the connection."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def ready(self) -> None:
        """Have again in the vault what requests are about."""
        server = self._server
        with server.node.catalog.writing() as books:
            for shelf, noun in (
                (books.fabrics, Fabric("north", "site-1")),
                *((books.servers, Server("north", one, "site-1", one, 1.0)) for one in ("h1", "h2")),
                (books.policies, ReplicationPolicy("north", "daily", Policy())),
                *(
                    (books.protectable, ProtectableItem("north", f"h1/{one}", "site-1", "h1", one))
                    for one in ("one#shop", "one#till")
                ),
            ):
                try:
                    shelf.get("north", noun.id)
                except Missing:
                    shelf.add(noun)
        known = server.service.items.list(OWNER, "north")
        if not any(one.name == "shop" and one.protection is not Protection.UNPROTECTED for one in known):
            server.node.settled()
            server.service.items.enable(OWNER, "north", "shop", ROUTE)
            server.node.settled()
        spare = next((one for one in server.identity.list(OWNER) if one.name == "spare"), None)
        spare = spare or server.identity.create(OWNER, "spare").principal
        jobs = server.service.jobs.list(OWNER, "north", 1)
        self._told = {
            "SUBSCRIPTION": server.identity.server,
            "JOB": jobs[0].id if jobs else "1",
            "EVENT": "1",
            "SPARE": spare.id,
        }

    def ask(self, asked: Asked) -> Said:
        """Return the answer; whoever is cut off asks once more on another connection."""
        path, body = asked.path, asked.body
        query = urlencode(asked.query, quote_via=quote, errors="replace")
        for word, value in self._told.items():
            path, query = path.replace(word, value), query.replace(word, value)
            body = body.replace(word.encode(), value.encode())
        headers = {
            "Authorization": f"Bearer {self._server.token(asked.who)}",
            "Content-Type": "application/json",
        }
        try:
            return self._once(asked.method, f"{path}?{query}", body, headers)
        except (http.client.RemoteDisconnected, ConnectionError):
            self.close()
            return self._once(asked.method, f"{path}?{query}", body, headers)

    def _once(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Said:
        if self._line is None:
            self._line = http.client.HTTPSConnection(
                self._at.hostname or "", self._at.port, timeout=_SECONDS, context=self._trust
            )
        self._line.request(method, target, body, dict(headers))
        with self._line.getresponse() as answer:
            return Said(
                answer.status, {k.casefold(): v for k, v in answer.getheaders()}, answer.read().decode()
            )


def state(server: Served) -> Rows:
    """Return all that is in the vaults and does not change by itself."""
    with server.node.catalog.engine.connect() as connection:
        rows = connection.execute(
            sa.select(SHELVES.c.vault, SHELVES.c.kind, SHELVES.c.id, SHELVES.c.document)
        )
        kept = {(vault, kind, id): document for vault, kind, id, document in rows}
        vaults = connection.execute(sa.select(VAULTS.c.name)).scalars()
        return {**kept, **{(name, "vault", name): "" for name in vaults}}


def judge(asked: Asked, said: Said, before: Rows, after: Rows) -> None:
    """Hold an answer against what is promised of every answer."""
    assert said.status < 500, (asked, said)
    assert said.status != 401, (asked, said)
    found: Any = None
    if said.text and "csv" not in said.headers["content-type"]:
        found = json.loads(said.text)
    if said.status >= 400:
        error = found["error"]
        assert error["code"], (asked, said)
        assert error["code"].isalnum(), (asked, said)
        assert 0 < len(error["message"]) < _MESSAGE_MAX, (asked, said)
        assert before == after, (asked, said, _changes(before, after))
    if said.status == 202:
        assert {"location", "azure-asyncoperation", "retry-after"} <= said.headers.keys(), (asked, said)
    leaked = [word for word in _INSIDE if word in said.text]
    assert not leaked, (asked, said, leaked)
    if asked.who in ("rita", "nemo") or asked.method == "GET":
        assert before == after, (asked, said, _changes(before, after))
    if asked.who != "root":
        elsewhere = [key for key in _changes(before, after) if key[0] != "north"]
        assert not elsewhere, (asked, said, elsewhere)


def _changes(before: Rows, after: Rows) -> list[tuple[str, str, str]]:
    return [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
