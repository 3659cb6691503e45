"""Tokens: got with what a profile knows, kept until they expire, and shown with each request.

By the standard library alone: who completes a word in a shell has no time to load more.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from bascule.model.errors import BasculeError, Refused, Unavailable
from bascule.ports.chance import Clock

from .profiles import Profile, Profiles
from .trust import changed

_SECONDS = 20.0
_EARLY_SECONDS = 120.0
_NOT_LET_IN = "not-let-in"
PENDING = "authorization-pending"
"""The code of the refusal that says only that nobody has agreed to a device yet."""


class AccessToken(NamedTuple):
    """A token as the SDKs' clients take it."""

    token: str
    expires_on: int


class Credential:
    """What the SDKs' clients sign in with (``azure.core.credentials.TokenCredential``)."""

    def __init__(self, profiles: Profiles, profile: Profile, clock: Clock) -> None:
        self._profiles = profiles
        self._profile = profile
        self._clock = clock
        self.is_fresh = False

    def get_token(self, *_scopes: str, **_more: object) -> AccessToken:
        """Return a token that holds for a while; the one got last if it does."""
        token, expires_at = self._profiles.token(self._profile)
        if not token or expires_at < self._clock.now() + _EARLY_SECONDS:
            token, expires_at = signed_in(self._profile, self._profiles.trust(self._profile), self._clock)
            self._profiles.keep_token(self._profile, token, expires_at)
            self.is_fresh = True
        return AccessToken(token, int(expires_at))

    def forget(self) -> None:
        """Get another token next time: the one that there is was refused."""
        self._profiles.forget_token(self._profile)


def signed_in(profile: Profile, trust: ssl.SSLContext, clock: Clock) -> tuple[str, float]:
    """Sign in, or go on with the session of a person; return a token and when it expires."""
    form = {"grant_type": "client_credentials", "client_secret": profile.secret}
    if profile.session:
        form = {"grant_type": "refresh_token", "refresh_token": profile.session}
    said = granted(profile, form, trust)
    return str(said["access_token"]), clock.now() + float(said["expires_in"])


def granted(profile: Profile, form: Mapping[str, str], trust: ssl.SSLContext) -> Mapping[str, Any]:
    """Return what the token endpoint gives for a form."""
    usual = {"client_id": profile.client, "scope": f"{profile.url}/.default"}
    url = f"{profile.url}/{profile.tenant}/oauth2/v2.0/token"
    try:
        return fetched(Request(url, urlencode({**usual, **form}).encode()), trust)
    except Refused as error:
        if error.code != _NOT_LET_IN or not (profile.user or profile.session):
            raise
        again = f"`bascule login {profile.url} --user {profile.user}`"
        if profile.session:
            message = f"your session as {profile.user} at {profile.url} is over"
            raise Refused(message, cure=f"sign in again: {again}", code="session-over") from error
        raise Refused(
            error.message,
            cure=f"try again with the right password: {again}; or have the owner give you another one",
            code=_NOT_LET_IN,
        ) from error


def tenant_of(url: str, trust: ssl.SSLContext) -> str:
    """Return the tenant of a server, which is its subscription too."""
    said = fetched(Request(f"{url}/metadata/endpoints?api-version=2022-09-01"), trust)
    try:
        return str(said["authentication"]["tenant"])
    except (KeyError, TypeError) as error:
        raise Refused(
            f"{url} is no server of Bascule", cure="look at the address", code="no-server"
        ) from error


def vaults_of(profile: Profile, token: str, trust: ssl.SSLContext) -> list[tuple[str, str]]:
    """Return the vaults that may be seen, each with its resource group."""
    path = f"/subscriptions/{profile.tenant}/providers/Microsoft.RecoveryServices/vaults"
    found = page_of(profile, token, path, trust)
    return [(str(one["name"]), str(one["id"]).split("/")[4]) for one in found]


def page_of(
    profile: Profile, token: str, path: str, trust: ssl.SSLContext, seconds: float = _SECONDS
) -> list[Mapping[str, Any]]:
    """Return the first page of a list."""
    url = f"{profile.url}{quote(path)}?api-version=2025-08-01"
    found = fetched(Request(url, headers={"Authorization": f"Bearer {token}"}), trust, seconds)
    return list(found.get("value") or ())


def fetched(request: Request, trust: ssl.SSLContext, seconds: float = _SECONDS) -> Mapping[str, Any]:
    """Return the JSON that a server answers."""
    try:
        with urlopen(request, timeout=seconds, context=trust) as answer:
            found = json.loads(answer.read())
    except HTTPError as error:
        raise _refused(request, error) from error
    except (URLError, OSError, ValueError) as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            raise changed(f"{request.type}://{request.host}") from error
        raise Unavailable(
            f"{request.host} does not answer: {getattr(error, 'reason', error)}",
            cure="see that `bascule serve` runs there",
        ) from error
    return found if isinstance(found, dict) else {}


def _refused(request: Request, error: HTTPError) -> BasculeError:
    kind = ""
    try:
        said = json.loads(error.read())
        kind, why = str(said.get("error")), str(said.get("error_description") or said.get("error"))
    except (ValueError, AttributeError, OSError):
        why = str(error.reason)
    if error.code == 429 or error.code >= 500:
        later = "a quarter of an hour" if error.code == 429 else "a minute"
        return Unavailable(f"{request.host} does not sign anybody in: {why}", cure=f"try again in {later}")
    if kind == "authorization_pending":
        return Refused("nobody has agreed to the code yet", cure="go on asking", code=PENDING)
    if kind == "expired_token":
        return Refused(
            "nobody has agreed to the code in time",
            cure="begin again for another code",
            code="expired-device",
        )
    return Refused(
        f"{request.host} does not let you in: {why}",
        cure="sign in again: `bascule login`, with a client id and a secret that are known there",
        code=_NOT_LET_IN,
    )
