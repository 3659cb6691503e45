"""The servers that this user signed in at, in a folder of their own: ``~/.config/bascule``.

    profiles.json       all of them, and which is meant when none is named
    NAME.authority.pem  whom the server of a profile is known by, if the system does not know it
    NAME.token.json     the token got last, until it expires

All are 0600 and replaced whole, for secrets are in them.
"""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bascule.model.errors import Damaged, Missing, Refused, Unavailable

from .trust import context

USUAL = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")


@dataclass(frozen=True, slots=True)
class Profile:
    """How to come in at one server; without a ``fingerprint`` the system knows its authority.

    Programs have a ``secret``; people, who are a ``user``, what renews their ``session``, never a password.
    ``vault`` is the one that is meant, and ``group`` the resource group that it is in.
    """

    name: str
    url: str
    tenant: str
    client: str
    secret: str = field(default="", repr=False)
    fingerprint: str = ""
    vault: str = ""
    group: str = ""
    user: str = ""
    session: str = field(default="", repr=False)


class Profiles:
    """The folder; nothing is made before something is kept."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        home = settings.get("XDG_CONFIG_HOME") or str(
            Path(settings.get("HOME") or "~").expanduser() / ".config"
        )
        self.folder = Path(settings.get("BASCULE_CONFIG") or Path(home) / "bascule")
        self._meant = settings.get("BASCULE_PROFILE", "")

    @property
    def current(self) -> str:
        """Return the name of the profile that is meant when none is named."""
        return self._meant or str(self._read().get("current", USUAL))

    def all(self) -> tuple[Profile, ...]:
        """Return the profiles."""
        known = self._read().get("profiles", {})
        try:
            return tuple(Profile(**one) for one in known.values())
        except (AttributeError, TypeError) as error:
            raise self._damaged() from error

    def get(self, name: str = "") -> Profile:
        """Return a profile; the current one if none is named."""
        name = name or self.current
        found = next((one for one in self.all() if one.name == name), None)
        if found is None:
            others = ", ".join(one.name for one in self.all())
            cure = f"sign in: `bascule login URL{'' if name == USUAL else f' --profile {name}'}`"
            raise Missing(
                f"there is no profile {name}" if others else "you are signed in nowhere",
                cure=f"{cure}; or choose of {others}" if others else cure,
                code="not-signed-in",
            )
        return found

    def keep(self, profile: Profile, authority: str = "") -> None:
        """Keep a profile, and make it the current one; the authority first, so that no profile lacks it."""
        check_name(profile.name)
        self.forget_token(profile)
        if authority:
            self._write(self.authority(profile), authority.encode())
        said = self._read()
        said["profiles"] = {**said.get("profiles", {}), profile.name: asdict(profile)}
        self._write(self._path, json.dumps({**said, "current": profile.name}, indent=1).encode())

    def use(self, name: str, vault: str = "", group: str = "") -> Profile:
        """Make a profile the current one, and a vault the one that it means."""
        found = self.get(name)
        changed = replace(found, vault=vault, group=group) if vault else found
        said = self._read()
        said["profiles"][changed.name] = asdict(changed)
        self._write(self._path, json.dumps({**said, "current": changed.name}, indent=1).encode())
        return changed

    def renew(self, profile: Profile) -> None:
        """Keep what is new of a profile that there is; which one is meant stays as it is."""
        said = self._read()
        said["profiles"][profile.name] = asdict(profile)
        self._write(self._path, json.dumps(said, indent=1).encode())

    def forget(self, profile: Profile) -> None:
        """Forget a profile with its secret or session."""
        said = self._read()
        del said["profiles"][profile.name]
        if said.get("current") == profile.name:
            said["current"] = next(iter(said["profiles"]), USUAL)
        self._write(self._path, json.dumps(said, indent=1).encode())
        self.forget_token(profile)
        self.authority(profile).unlink(missing_ok=True)

    def authority(self, profile: Profile) -> Path:
        """Return where the authority of a profile's server is."""
        return self.folder / f"{profile.name}.authority.pem"

    def trust(self, profile: Profile) -> ssl.SSLContext:
        """Return what tells whether a server is that of a profile."""
        return context(Path(self.verify(profile)).read_text() if profile.fingerprint else "")

    def verify(self, profile: Profile) -> str:
        """Return the file of the authority that vouches for the server of a profile."""
        path = self.authority(profile)
        if not path.exists():
            raise Damaged(f"{path} is gone", cure=f"sign in again: `bascule login {profile.url}`")
        return str(path)

    def token(self, profile: Profile) -> tuple[str, float]:
        """Return the token that was got last and when it expires; an empty one if there is none."""
        try:
            said = json.loads(self._token(profile).read_bytes())
            return str(said["token"]), float(said["expires_at"])
        except (OSError, ValueError, KeyError, TypeError):
            return "", 0.0  # it is got anew

    def keep_token(self, profile: Profile, token: str, expires_at: float) -> None:
        """Keep a token."""
        self._write(self._token(profile), json.dumps({"token": token, "expires_at": expires_at}).encode())

    def forget_token(self, profile: Profile) -> None:
        """Forget the token that was got last."""
        self._token(profile).unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self.folder / "profiles.json"

    def _token(self, profile: Profile) -> Path:
        return self.folder / f"{profile.name}.token.json"

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise Unavailable(f"cannot read {self._path}: {error.strerror}") from error
        except ValueError as error:
            raise self._damaged() from error
        if not isinstance(found, dict):
            raise self._damaged()
        return found

    def _write(self, path: Path, data: bytes) -> None:
        made = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as stream:
                stream.write(data)
            made.replace(path)
        except OSError as error:
            made.unlink(missing_ok=True)
            raise Unavailable(
                f"cannot write {path}: {error.strerror}", cure="see that its disk has room"
            ) from error

    def _damaged(self) -> Damaged:
        return Damaged(f"{self._path} is no list of profiles", cure="move it away, and sign in again")


def check_name(name: str) -> None:
    """Refuse a name that is none for a profile, which is part of file names."""
    if not _NAME.fullmatch(name):
        raise Refused(f"{name!r} is no name of a profile", cure="use letters, digits, dots, - and _")
