"""What a host keeps of its vault, in ``vault/`` of the provider's folder.

    vault.json     the vault's id, addresses and certificate, and this host's id; registered when it exists
    host.pem       the host's certificate and its private key, 0600; one file, so that they always fit
    next.key       a private key that the vault was asked to vouch for, 0600; durable before it is asked
    joining.json   the host's id and the private key that it registers with, 0600, until it is registered
    journal.json   which commands were carried out; see ``journal``
    errands/       commands that take their time; see ``errands``
    state.json     when the vault was last spoken to, and what was wrong

Order of registering: ``joining.json``, the question, ``host.pem``, ``vault.json``; of renewing:
``next.key``, the question, ``host.pem``. Whatever is cut in between, the next try asks the same for the
same key, and the vault gives the same answer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bascule.model.errors import Damaged, Missing, Refused, Unavailable
from bascule.replication.provider.folder import put, told_of
from bascule.wire.control.invitation import Invitation, addresses_from
from bascule.wire.control.strict import Fields, parsed

_FILE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Papers:
    """A registered host: where its vault is, and by what each knows the other.

    ``serial`` changes with each renewal.
    """

    vault: str
    addresses: tuple[str, ...]
    authority: str
    host: str
    pem: Path
    serial: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Contact:
    """How it stands between a host and its vault."""

    at: float | None = None
    code: str = ""
    message: str = ""
    cure: str = ""
    failed_at: float | None = None


class Desk:
    """The folder, and who we are by it."""

    def __init__(self, provider: Path) -> None:
        self.path = provider / "vault"
        self.pem = self.path / "host.pem"
        self.errands = self.path / "errands"
        self._vault = self.path / "vault.json"
        self._next = self.path / "next.key"
        self._joining = self.path / "joining.json"
        self._state = self.path / "state.json"

    def papers(self) -> Papers | None:
        """Return what this host shows its vault, None if it is not registered."""
        found = _read(self._vault)
        if found is None:
            return None
        with _told(self.pem):
            stamp = self.pem.stat()
        return Papers(
            found.word("vault"),
            addresses_from(found),
            found.text("authority", 8192),
            found.word("host"),
            self.pem,
            (stamp.st_mtime_ns, stamp.st_ino),
        )

    def pair(self) -> tuple[str, bytes]:
        """Return the host's certificate and its private key."""
        with _told(self.pem):
            key, _, certificate = self.pem.read_bytes().partition(_BORDER)
        return (_BORDER + certificate).decode(), key

    def begin(self, vault: str, invitation: str, host: str, key: bytes) -> tuple[str, bytes]:
        """Return this host's id at a vault and a private key to register with, durably.

        They are those of the last try by the same registration key, if there was one. A host that the vault
        knows keeps its id; ``host`` is for one that does not.
        """
        with told_of(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self._joining, self._vault):
            found = _read(path)
            if found is None or found.word("vault") != vault:
                continue
            host = found.word("host")
            if found.text("invitation", default="") == invitation:
                return host, found.text("key", 8192).encode()
            break
        kept = {"vault": vault, "invitation": invitation, "host": host, "key": key.decode()}
        put(self._joining, json.dumps(kept).encode(), durable=True, mode=0o600)
        return host, key

    def next_key(self, fresh: bytes) -> bytes:
        """Return the private key of a question under way, or else ``fresh``, durably."""
        if self._next.exists():
            with _told(self._next):
                found = self._next.read_bytes()
            if not self.pem.exists() or self.pair()[1] != found:
                return found
        put(self._next, fresh, durable=True, mode=0o600)
        return fresh

    def hold(self, certificate: str, key: bytes) -> None:
        """Show this certificate from now on."""
        put(self.pem, key + certificate.encode(), durable=True, mode=0o600)

    def renewed(self) -> None:
        """Forget the question for the certificate that is held now."""
        with told_of(self._next):
            self._next.unlink(missing_ok=True)

    def join(self, invitation: Invitation, host: str) -> None:
        """Be registered from now on."""
        kept = {"vault": invitation.vault, "addresses": invitation.addresses, "host": host}
        put(self._vault, json.dumps(kept | {"authority": invitation.authority}).encode(), durable=True)
        with told_of(self._joining):
            self._joining.unlink(missing_ok=True)

    def leave(self) -> None:
        """Forget the vault, before another one is joined; what it had us do stays done."""
        for path in (
            self._vault,
            self.pem,
            self._next,
            self._joining,
            self._state,
            self.path / "journal.json",
        ):
            with told_of(path):
                path.unlink(missing_ok=True)
        with told_of(self.errands):
            shutil.rmtree(self.errands, ignore_errors=True)

    def contact(self) -> Contact:
        """Return how it stands with the vault."""
        try:
            return Contact(**json.loads(self._state.read_bytes()))
        except (OSError, ValueError, TypeError):
            return Contact()

    def tell(self, contact: Contact) -> None:
        """Write down how it stands with the vault; it is found out again after a power cut."""
        put(self._state, json.dumps(asdict(contact)).encode(), durable=False)


_BORDER = b"-----BEGIN CERTIFICATE-----"


def _read(path: Path) -> Fields | None:
    try:
        with _told(path):
            return parsed(path.read_bytes(), _FILE_BYTES)
    except Missing:
        return None
    except Refused as error:
        raise Damaged(f"{path} cannot be read: {error.message}", cure="register anew: --replace") from error


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Missing(f"{path} is not there", cure="register anew: `bascule provider register`") from error
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
