"""One server, as the one who is signed in sees it: all that is asked goes through here.

By the official SDKs, which take a second to load, so nothing of them is loaded before something is asked.
Operations are named as in docs/api.md; answers are mappings with the names of the wire. What the SDKs have
no operation for goes through the same client, with the same token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

from bascule.model.errors import Missing, Refused
from bascule.ports.chance import Clock

from .profiles import Profile, Profiles
from .tokens import Credential

if TYPE_CHECKING:
    from azure.mgmt.recoveryservices import RecoveryServicesClient
    from azure.mgmt.recoveryservicessiterecovery import SiteRecoveryManagementClient

T = TypeVar("T")
Document = Mapping[str, Any]
Trace = Callable[[str, str], None]
"""Hears of each request: its method and its path."""

VERSION = "2025-08-01"
_CONNECT_SECONDS = 10
_READ_SECONDS = 120
_RETRIES = 2


class Begun(NamedTuple):
    """What came of a command: a job if it takes its time, and what was answered."""

    job: str
    value: Document


class Server:
    """Asked as whoever a profile is; ``vault`` is the one that is meant."""

    def __init__(
        self, profiles: Profiles, profile: Profile, vault: str, clock: Clock, trace: Trace | None = None
    ) -> None:
        self.profile = profile
        self._trace = trace
        self.clock = clock
        self._profiles = profiles
        self._vault = vault or profile.vault
        self._credential = Credential(profiles, profile, clock)

    @property
    def vault(self) -> str:
        """Return the vault that is meant, or refuse to guess."""
        if not self._vault:
            raise Refused(
                "which vault is not said",
                cure="name it with --vault, or once for all: `bascule vault use NAME`",
            )
        return self._vault

    @cached_property
    def group(self) -> str:
        """Return the resource group that the vault is in; asked for unless the profile knows it."""
        profile = self.profile
        if profile.group and profile.vault == self.vault:
            return profile.group
        return self.group_of(self.vault)

    def group_of(self, vault: str) -> str:
        """Return the resource group of a vault."""
        path = f"/subscriptions/{self.profile.tenant}/providers/Microsoft.RecoveryServices/vaults"
        found = next((one for one in self.pages(path) if one["name"].casefold() == vault.casefold()), None)
        if found is None:
            raise Missing(f"you may see no vault {vault}", cure="`bascule vault ls` shows those that you may")
        return str(found["id"]).split("/")[4]

    @property
    def home(self) -> str:
        """Return the id of the vault."""
        group = f"/subscriptions/{self.profile.tenant}/resourceGroups/{self.group}"
        return f"{group}/providers/Microsoft.RecoveryServices/vaults/{self.vault}"

    def get(self, operation: str, *names: str, **more: object) -> Document:
        """Return one thing of the vault, or what an operation answers."""
        return self._plain(
            self._asked(lambda: self._operation(operation)(self.group, self.vault, *names, **more))
        )

    def find(self, operation: str, *names: str) -> Document | None:
        """Return one thing of the vault, or nothing if it is not there."""
        try:
            return self.get(operation, *names)
        except Missing:
            return None

    def all(self, operation: str, *names: str, **more: object) -> list[Document]:
        """Return all of a list of the vault."""
        call = self._operation
        found = self._asked(lambda: list(call(operation)(self.group, self.vault, *names, **more)))
        return [self._plain(one) for one in found]

    def begin(self, operation: str, *names: object) -> Begun:
        """Give a command; it is done, or it is a job."""
        group, _, verb = operation.partition(".")
        heard: list[Any] = []

        def ask() -> Begun:
            call = self._operation(f"{group}.begin_{verb}")
            heard.clear()
            # Nothing is waited for here: who waits wants to see the tasks.
            hook = heard.append
            call(self.group, self.vault, *names, polling=False, raw_response_hook=hook)
            answer = heard[-1].http_response
            place = answer.headers.get("Azure-AsyncOperation", "").partition("?")[0]
            # The SDK would read a body that a job's first answer has not.
            return Begun(place.rpartition("/")[2], answer.json() if answer.content else {})

        return self._asked(ask)

    def send(self, method: str, path: str, body: object = None) -> Any:
        """Ask for what the SDKs have no operation for; ``path`` is whole, or goes on behind the vault's."""
        from azure.core.rest import HttpRequest

        url = path if path.startswith("/") else f"{self.home}/{path}"
        more: dict[str, Any] = {} if body is None else {"json": body}
        mark = "&" if "?" in url else "?"
        request = HttpRequest(method, f"{quote(url, safe='/?&=$%')}{mark}api-version={VERSION}", **more)

        def ask() -> Any:
            answer = self._recovery.send_request(request)
            answer.raise_for_status()
            if "json" not in answer.headers.get("Content-Type", ""):
                return answer.text()
            return answer.json() if answer.content else {}

        return self._asked(ask)

    def pages(self, path: str) -> list[Document]:
        """Return all of a list that the SDKs have no operation for."""
        return list(self.send("GET", path)["value"])

    def vaults(self) -> list[Document]:
        """Return the vaults that may be seen here."""
        return [
            self._plain(one)
            for one in self._asked(lambda: list(self._vaults.vaults.list_by_subscription_id()))
        ]

    def usages(self) -> Document:
        """Return how much there is in the vault."""
        [found] = self._asked(lambda: list(self._vaults.replication_usages.list(self.group, self.vault)))
        return self._plain(found)

    def make_vault(self, name: str, group: str, body: Document) -> Document:
        """Make a vault, or find it as it is."""
        make: Callable[..., Any] = self._vaults.vaults.begin_create_or_update
        made = self._asked(lambda: make(group, name, dict(body), polling=False).result())
        return self._plain(made)

    def remove_vault(self, name: str) -> None:
        """Remove a vault."""
        group = self.group_of(name)
        self._asked(lambda: self._vaults.vaults.begin_delete(group, name, polling=False).result())

    def _asked(self, ask: Callable[[], T]) -> T:
        from .errors import told

        try:
            with told(self.profile.url):
                return ask()
        except Refused as error:
            if error.code not in ("invalid-token", "expired-token", "revoked") or self._credential.is_fresh:
                raise
        # The token that was kept is refused: of a secret that was taken away, or before the clock went back.
        self._credential.forget()
        self.__dict__.pop("_recovery", None)
        self.__dict__.pop("_vaults", None)
        with told(self.profile.url):
            return ask()

    def _operation(self, operation: str) -> Callable[..., Any]:
        group, _, verb = operation.partition(".")
        found: Callable[..., Any] = getattr(getattr(self._recovery, group), verb)
        return found

    @cached_property
    def _recovery(self) -> SiteRecoveryManagementClient:
        from azure.mgmt.recoveryservicessiterecovery import SiteRecoveryManagementClient

        return SiteRecoveryManagementClient(**self._usual())

    @cached_property
    def _vaults(self) -> RecoveryServicesClient:
        from azure.mgmt.recoveryservices import RecoveryServicesClient

        return RecoveryServicesClient(**self._usual())

    def _usual(self) -> dict[str, Any]:
        profile = self.profile
        return {
            **{"credential": self._credential, "subscription_id": profile.tenant},
            **{"base_url": profile.url, "credential_scopes": [f"{profile.url}/.default"]},
            "connection_verify": self._profiles.verify(profile) if profile.fingerprint else True,
            "raw_request_hook": self._traced,
            **{"connection_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS},
            **{"retry_total": _RETRIES, "retry_backoff_factor": 0.2},
        }

    def _traced(self, request: Any) -> None:
        if self._trace is not None:
            asked = request.http_request
            self._trace(str(asked.method), str(asked.url).removeprefix(self.profile.url))

    def _plain(self, value: Any) -> Document:
        if value is None:
            return {}
        found: Document = value if isinstance(value, dict) else value.as_dict()
        return found
