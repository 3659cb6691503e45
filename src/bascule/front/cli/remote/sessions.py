"""Sessions of people: begun by a password or for a device that shows a code, and kept by what renews them.

No password is ever kept, and a session ends when the server says so, however often it was renewed.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request

from bascule.model.errors import Refused, Unavailable
from bascule.ports.chance import Clock

from .profiles import Profile
from .tokens import PENDING, fetched, granted

CLIENT = "bascule"
"""What this program calls itself where people sign in by it."""
_BY_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_AGAIN_SECONDS = 5.0


def by_password(
    profile: Profile, password: str, trust: ssl.SSLContext, clock: Clock
) -> tuple[Profile, str, float]:
    """Sign in the user of a profile; return what to keep of it, a token, and when that expires."""
    form = {"grant_type": "password", "username": profile.user, "password": password}
    return _begun(profile, granted(profile, form, trust), clock)


def by_device(
    profile: Profile,
    trust: ssl.SSLContext,
    clock: Clock,
    show: Callable[[Mapping[str, Any]], None],
    note: Callable[[str], None],
) -> tuple[Profile, str, float]:
    """Show a code, and wait until somebody has agreed to it in a browser, or nobody has in time.

    A server that does not answer meanwhile is asked again for as long as the code is good; ``note`` says so.
    """
    begun = fetched(Request(_url(profile, "devicecode"), urlencode({"client_id": CLIENT}).encode()), trust)
    show(begun)
    form = {"grant_type": _BY_DEVICE, "device_code": str(begun["device_code"])}
    ends_at, is_away = clock.monotonic() + float(begun["expires_in"]), False
    while True:
        clock.sleep(float(begun.get("interval", _AGAIN_SECONDS)))
        try:
            return _begun(profile, granted(profile, form, trust), clock)
        except Refused as error:
            if error.code != PENDING:  # the server ends it when nobody agreed in time
                raise
            is_away = False
        except Unavailable as error:
            if clock.monotonic() > ends_at:
                raise
            if not is_away:
                note(f"{error.message}; asking on until the code is not good any more.")
            is_away = True


def end(profile: Profile, trust: ssl.SSLContext) -> None:
    """End a session at its server: what was got in it is good for nothing from then on."""
    fetched(Request(_url(profile, "revoke"), urlencode({"token": profile.session}).encode()), trust)


def _url(profile: Profile, what: str) -> str:
    return f"{profile.url}/{profile.tenant}/oauth2/v2.0/{what}"


def _begun(profile: Profile, said: Mapping[str, Any], clock: Clock) -> tuple[Profile, str, float]:
    user = _user(str(said["id_token"]))
    if profile.user and user.casefold() != profile.user.casefold():
        raise Refused(
            f"{user} signed in, not {profile.user}",
            cure=f"begin again and sign in as {profile.user}, or say --user {user}",
            code="other-user",
        )
    known = replace(profile, user=user, session=str(said["refresh_token"]))
    return known, str(said["access_token"]), clock.now() + float(said["expires_in"])


def _user(told: str) -> str:
    """Return whom a server signed in; it came from the server itself, so no signature is looked at."""
    words = told.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(words + "=" * (-len(words) % 4)))["preferred_username"])
