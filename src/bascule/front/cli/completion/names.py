"""Names from a server, in bounded time: who waits at a prompt waits for a moment only, and is told no errors.

By the standard library and the token that is there, for the SDKs take longer to load than anybody waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from bascule.front.cli.remote.profiles import Profile, Profiles
from bascule.front.cli.remote.tokens import Credential, page_of, vaults_of
from bascule.front.cli.tools import Tools
from bascule.model.errors import BasculeError

_SECONDS = 1.5
_PLACES: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "SITE": ("replicationFabrics", lambda one: str(one["name"])),
    "HOST": ("replicationRecoveryServicesProviders", lambda one: str(one["properties"]["friendlyName"])),
    "POLICY": ("replicationPolicies", lambda one: str(one["name"])),
    "ITEM": ("replicationProtectedItems", lambda one: str(one["name"])),
    "JOB": ("replicationJobs", lambda one: str(one["name"])),
}


def names(tools: Tools, kind: str, words: Sequence[str]) -> list[str]:
    """Return names of a kind, of the profile and the vault that the words name; none if it takes long."""
    found: list[str] = []

    def ask() -> None:
        try:
            found.extend(_asked(tools, kind, words))
        except BasculeError:
            found.clear()  # an error in the middle of a line helps nobody; the command will tell

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return list(found)


def _asked(tools: Tools, kind: str, words: Sequence[str]) -> list[str]:
    profiles = Profiles(tools.settings)
    if kind == "PROFILE":
        return [one.name for one in profiles.all()]
    if kind != "VAULT" and kind not in _PLACES:
        return []
    profile = profiles.get(_said("--profile", words))
    trust = profiles.trust(profile)
    token = Credential(profiles, profile, tools.clock).get_token().token
    if kind == "VAULT":
        return [name for name, _ in vaults_of(profile, token, trust)]
    vault = _said("--vault", words) or tools.settings.get("BASCULE_VAULT", "") or profile.vault
    group = profile.group
    if vault != profile.vault:
        group = dict(vaults_of(profile, token, trust)).get(vault, "")
    place, name = _PLACES[kind]
    return [
        name(one)
        for one in page_of(profile, token, f"{_home(profile, group, vault)}/{place}", trust, _SECONDS)
    ]


def _home(profile: Profile, group: str, vault: str) -> str:
    place = f"/subscriptions/{profile.tenant}/resourceGroups/{group}"
    return f"{place}/providers/Microsoft.RecoveryServices/vaults/{vault}"


def _said(option: str, words: Sequence[str]) -> str:
    return next((value for word, value in pairwise(words) if word == option), "")
