"""The table of operations is that of the official SDKs, whole and true."""

from __future__ import annotations

import inspect
import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

from azure.core.credentials import AccessTokenInfo
from azure.core.pipeline.transport import HttpRequest, HttpTransport
from azure.mgmt.recoveryservices import RecoveryServicesClient
from azure.mgmt.recoveryservicessiterecovery import SiteRecoveryManagementClient

from bascule.front.api.nouns.built import HANDLERS
from bascule.front.api.router import Router
from bascule.front.api.table.operations import operations

ROOT = Path(__file__).resolve().parents[4]


class Sent(Exception):
    """What the SDK would have sent."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request.url)
        self.request = request


class Mirror(HttpTransport[HttpRequest, object]):
    """A transport that sends nothing, and shows it."""

    def send(self, request: HttpRequest, **_: object) -> object:
        raise Sent(request)

    def open(self) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None: ...


class Credential:
    def get_token_info(self, *_: str, **__: object) -> AccessTokenInfo:
        return AccessTokenInfo("token", 1 << 40)


def calls() -> Iterator[tuple[str, Callable[..., object]]]:
    """Yield name and method of each operation of the SDKs."""
    for kind in (SiteRecoveryManagementClient, RecoveryServicesClient):
        client = kind(Credential(), "s", transport=Mirror(), base_url="https://server.example")
        for group, found in vars(client).items():
            if not type(found).__name__.endswith("Operations"):
                continue
            for verb, call in inspect.getmembers(found, inspect.ismethod):
                if not verb.startswith("_"):
                    name = f"{group}.{verb.removeprefix('begin_')}"
                    yield re.sub("^replicationv_", "replication_v_", name), call


def asked() -> Iterator[tuple[str, str, str]]:
    """Yield name, method and path of each operation of the SDKs, asked with the names of its arguments."""
    for name, call in calls():
        request = shown(call)
        yield name, request.method, unquote(urlsplit(request.url).path)


def shown(call: Callable[..., object]) -> HttpRequest:
    parameters = inspect.signature(call).parameters.values()
    needed = [one for one in parameters if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    try:
        # Bodies are objects, and names texts; a text is an object to nobody, an empty object a text to none.
        list(call(*({} if "str" not in str(one.annotation) else one.name for one in needed)))
    except Sent as sent:
        return sent.request
    raise AssertionError(f"{call} sent nothing")


def test_every_operation_of_the_sdks_is_found_by_its_path() -> None:
    router = Router(operations())
    found = list(asked())
    assert len(found) == 176
    names = []
    for name, method, path in found:
        hit = router.find(method, path.upper())
        assert hit is not None, (name, method, path)
        names.append(hit.operation.name)
        assert name in (hit.operation.name, hit.operation.name.removesuffix("_of_provider")), path
    assert len(set(names)) == len(names)


def test_the_table_has_nothing_else_of_the_sdks() -> None:
    assert sum(not one.is_ours for one in operations()) == 176


def test_every_handler_is_of_an_operation() -> None:
    assert set(HANDLERS) <= {one.name for one in operations()}


def test_two_operations_are_never_at_one_address() -> None:
    said = [(one.method, re.sub(r"\{\w+\}", "{}", one.path.casefold())) for one in operations()]
    assert len(set(said)) == len(said)


def test_the_page_of_operations_is_written_from_the_table() -> None:
    page = runpy.run_path(str(ROOT / "scripts/api"))["page"]()
    assert (ROOT / "docs/api.md").read_text() == page, "run .venv/bin/python scripts/api"
