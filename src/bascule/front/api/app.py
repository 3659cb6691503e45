"""The application: what is alike in every request, from who asks to what the answer carries.

Order of a request: the body is taken in, bounded; the operation is found; the caller is known by a token;
then parameters, names and body are read; then the desk is asked. Who is refused on the way is written down.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bascule.control.service.gate import Call
from bascule.control.service.people.doorkeeper import STRANGER
from bascule.model.errors import BasculeError, Refused
from bascule.model.vault.access import Caller, Right
from bascule.ports.chance import Ids

from .answers import Answer
from .asking import Ask, Desks, body_of, check_names, query_of
from .bodies import ends_where_others_may_not, taken
from .errors import TurnedAway, headers_of, status_of
from .errors import body_of as told
from .identity import device_page, metadata, signing_in
from .nouns import vaults
from .nouns.built import HANDLERS
from .router import Found, Router
from .table.operations import Operation, operations

log = structlog.get_logger(__name__)

Body = Annotated[bytes | TurnedAway, Depends(taken)]
_METHODS = ["GET", "PUT", "PATCH", "POST", "DELETE"]
_HOST = re.compile(r"[A-Za-z0-9._-]{1,255}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_WORD = re.compile(r"[\x21-\x7e]{1,128}")
_ALWAYS = {
    "Cache-Control": "no-cache",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}


def application(desks: Desks, ids: Ids) -> FastAPI:
    """Return the application of a server."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    door = _Door(desks, ids)
    app.add_exception_handler(HTTPException, door.unheard)
    app.add_exception_handler(Exception, door.broken)
    app.add_api_route("/metadata/endpoints", door.endpoints)
    for form in ("/{tenant}/v2.0", "/{tenant}"):
        app.add_api_route(f"{form}/.well-known/openid-configuration", door.openid)
    app.add_api_route("/{tenant}/discovery/v2.0/keys", door.keys)
    for form in ("/{tenant}/oauth2/v2.0/token", "/{tenant}/oauth2/token"):
        app.add_api_route(form, door.token, methods=["POST"])
    for form in ("/{tenant}/oauth2/v2.0/devicecode", "/{tenant}/oauth2/devicecode"):
        app.add_api_route(form, door.device, methods=["POST"])
    for form in ("/{tenant}/oauth2/v2.0/revoke", "/{tenant}/oauth2/revoke"):
        app.add_api_route(form, door.revoke, methods=["POST"])
    app.add_api_route("/common/userrealm/{user}", door.realm)
    app.add_api_route("/device", door.ask_for_device)
    app.add_api_route("/device", door.agree_to_device, methods=["POST"])
    app.add_api_route("/{path:path}", door.operation, methods=_METHODS)
    return app


class _Door:
    def __init__(self, desks: Desks, ids: Ids) -> None:
        self._desks = desks
        self._ids = ids
        self._router = Router(operations())

    def endpoints(self, request: Request) -> Response:
        """Tell what a cloud this is."""
        version = request.query_params.get("api-version", "2022-09-01")
        base, server = _base(request), self._desks.identity.server
        return self._sent(request, Answer(body=metadata.endpoints(base, server, version)))

    def openid(self, request: Request, tenant: str) -> Response:
        """Tell where tokens are got."""
        if (unknown := self._unknown_tenant(tenant)) is not None:
            return self._sent(request, unknown)
        base, server = _base(request), self._desks.identity.server
        return self._sent(request, Answer(body=metadata.openid(base, tenant.casefold(), server)))

    def keys(self, request: Request) -> Response:
        """Tell no keys: tokens are for this server, which signed them."""
        return self._sent(request, Answer(body={"keys": []}))

    def realm(self, request: Request) -> Response:
        """Tell that people sign in here, not elsewhere."""
        said = {"ver": "1.0", "account_type": "Managed", "domain_name": "bascule", "cloud_instance_name": ""}
        return self._sent(request, Answer(body=said))

    def token(self, request: Request, tenant: str, body: Body) -> Response:
        """Give a token out."""
        desks, said = self._desks, request.headers.get("authorization", "")
        return self._for_strangers(
            request,
            body,
            lambda data: (
                self._unknown_tenant(tenant)
                or signing_in.token(desks.identity, desks.users, _base(request), data, said)
            ),
        )

    def revoke(self, request: Request, tenant: str, body: Body) -> Response:
        """End a session."""
        return self._for_strangers(
            request,
            body,
            lambda data: self._unknown_tenant(tenant) or signing_in.ended(self._desks.users, data),
        )

    def device(self, request: Request, tenant: str, body: Body) -> Response:
        """Let a device wait for a person."""
        return self._for_strangers(
            request,
            body,
            lambda data: (
                self._unknown_tenant(tenant) or signing_in.device(self._desks.users, _base(request), data)
            ),
        )

    def ask_for_device(self, request: Request) -> Response:
        """Ask a person for the code of a device."""
        return self._sent(request, device_page.asking(request.query_params.get("code", "")))

    def agree_to_device(self, request: Request, body: Body) -> Response:
        """Sign in for a device."""

        def agree(data: bytes) -> Answer:
            wrong = signing_in.agreed(self._desks.users, data)
            return device_page.asking(wrong=wrong) if wrong else device_page.done()

        return self._for_strangers(request, body, agree)

    def _for_strangers(
        self, request: Request, body: bytes | TurnedAway, answer: Callable[[bytes], Answer]
    ) -> Response:
        try:
            if isinstance(body, TurnedAway):
                self._refused(STRANGER, "sign-in", body)
                raise body
            return self._sent(request, answer(body))
        except BasculeError as error:
            return self._sent(request, self._told(request, error))

    def operation(self, request: Request, body: Body) -> Response:
        """Carry an operation out."""
        try:
            return self._sent(request, self._answered(request, body))
        except BasculeError as error:
            return self._sent(request, self._told(request, error))

    async def unheard(self, request: Request, error: Exception) -> Response:
        """Tell of what no route is for."""
        status = error.status_code if isinstance(error, HTTPException) else 400
        said = TurnedAway(f"{request.method[:20]} is no method of this server", code="bad-method")
        if status == 404:
            said = TurnedAway(
                "a path has no end of a line in it", cure="look at the path", code="unknown-operation"
            )
        return self._sent(request, Answer(status, told(said)))

    async def broken(self, request: Request, error: Exception) -> Response:
        """Tell that something is wrong here; what it is stands in the log."""
        log.error("api.broken", path=request.url.path[:500], error=repr(error)[:500])
        said = BasculeError("the server has a mistake", cure="its log says which", code="internal-error")
        return self._sent(request, Answer(500, told(said)))

    def _answered(self, request: Request, body: bytes | TurnedAway) -> Answer:
        caller, what = STRANGER, "unknown"
        try:
            found = self._router.find(request.method, request.scope["path"])
            what = found.operation.name if found else what
            caller = self._caller(request)
            if found is None:
                raise TurnedAway(
                    f"there is no operation {request.method} {request.scope['path'][:200]}",
                    cure="look at the path",
                    code="unknown-operation",
                )
            if isinstance(body, TurnedAway):
                raise body
            ask = self._ask(request, caller, found, body)
            if what not in HANDLERS:
                raise _not_built(found)
            return HANDLERS[what](ask)
        except TurnedAway as error:
            self._refused(caller, what, error)
            raise

    def _ask(self, request: Request, caller: Caller, found: Found, body: bytes) -> Ask:
        query = query_of(request.query_params.multi_items())
        check_names(found.names)
        names = dict(found.names)
        server = self._desks.identity.server
        if names.get("subscription", server).casefold() != server:
            raise TurnedAway(
                f"there is no subscription {names['subscription']}",
                cure=f"the one of this server is {server}",
                code="unknown-subscription",
            )
        if "vault" in names:
            self._find_vault(caller, found.operation, names)
        path = request.scope["path"]
        return Ask(self._desks, caller, _base(request), path, names, query, body_of(body))

    def _find_vault(self, caller: Caller, operation: Operation, names: dict[str, str]) -> None:
        """Spell the vault as it is spelt. It is found in its own resource group only."""
        vault = self._desks.service.vaults.meant(caller, names["vault"])
        if vault is None:
            return
        names["vault"] = vault.name
        if not vault.is_in(names["group"]) and operation.name not in vaults.OF_ANY_GROUP:
            raise TurnedAway(
                f"there is no vault {vault.name} in the resource group {names['group']}",
                cure=f"it is in {vault.group}",
                code="another-group",
            )

    def _caller(self, request: Request) -> Caller:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.casefold() != "bearer" or not token:
            raise TurnedAway(
                "there is no token", cure="sign in, and send a bearer token", code="missing-token"
            )
        return self._desks.identity.who(token)

    def _refused(self, caller: Caller, what: str, error: Refused) -> None:
        self._desks.service.gate.refused(Call(caller, what, "", Right.READ), error)

    def _told(self, request: Request, error: BasculeError) -> Answer:
        status = status_of(error)
        if status >= 500:
            log.warning(
                "api.not_answered", path=request.url.path[:500], code=error.code, reason=error.message
            )
        authority = f"{_base(request)}/{self._desks.identity.server}"
        return Answer(status, told(error), headers_of(error, authority))

    def _unknown_tenant(self, tenant: str) -> Answer | None:
        if tenant.casefold() in (self._desks.identity.server, "adfs"):
            return None
        why = f"AADSTS90002: the tenant of this server is {self._desks.identity.server}"
        return Answer(400, {"error": "invalid_request", "error_description": why})

    def _sent(self, request: Request, answer: Answer) -> Response:
        headers = {**_ALWAYS, **self._marks(request), **answer.headers}
        headers.setdefault("Content-Type", "application/json; charset=utf-8")
        if ends_where_others_may_not(request):
            headers["Connection"] = "close"
        return Response(answer.data(), answer.status, headers)

    def _marks(self, request: Request) -> Mapping[str, str]:
        """Return the ids by which a request is found again: ours, and those that the client gave it."""
        own = str(UUID(bytes=self._ids.random(16), version=4))
        marks = {"x-ms-request-id": own, "x-ms-correlation-request-id": own}
        for name in ("x-ms-correlation-request-id", "x-ms-client-request-id"):
            said = request.headers.get(name, "")
            if _WORD.fullmatch(said):
                marks[name] = said
        return marks


def _base(request: Request) -> str:
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        host = "localhost"
    return f"{request.url.scheme}://{host}"


def _not_built(found: Found) -> TurnedAway:
    name = found.operation.name
    if found.operation.is_out_of_scope:
        return TurnedAway(f"{name} is for scenarios that are not this server's", code="out-of-scope")
    return TurnedAway(f"{name} is not built yet", cure="docs/api.md says what is", code="not-yet")
