"""Small nouns, each kind on its shelf: one table of documents, which nobody searches but by id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from bascule.model.errors import Exists, Missing
from bascule.model.policies import Policy
from bascule.model.vault.access import Assignment, Role
from bascule.model.vault.extended import ExtendedInfo
from bascule.model.vault.fabric import (
    Enrolment,
    Fabric,
    FabricKind,
    ProtectableItem,
    ReplicationPolicy,
    Server,
)
from bascule.model.vault.item import Command, Move, Side
from bascule.model.vault.plan import ActionKind, GroupKind, PlanAction, PlanGroup, RecoveryPlan
from bascule.model.vault.sides.pairing import Container, ContainerMapping, RecoverySettings, Target
from bascule.model.vault.signs.alerts import AlertPlace, AlertSettings
from bascule.model.vault.signs.disk import Disk
from bascule.model.vault.signs.event import Condition, Health

from .documents import KNOWN_CHARACTERS, noun_of, text_of
from .tables import SHELVES, VAULTS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    class _Noun(DataclassInstance, Protocol):
        @property
        def vault(self) -> str: ...

        @property
        def id(self) -> str: ...


Noun = TypeVar("Noun", bound="_Noun")
_ROLE = "role"
Parts = Mapping[str, Callable[[Any], Any]]
_ALL = (
    sa.select(SHELVES.c.document)
    .where(SHELVES.c.vault == sa.bindparam("vault"), SHELVES.c.kind == sa.bindparam("kind"))
    .order_by(SHELVES.c.id)
)
_ONE = _ALL.where(SHELVES.c.id == sa.bindparam("id"))


def policy_of(fields: Mapping[str, Any]) -> Policy:
    """Return the policy that a document describes."""
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Policy(**{**fields, **lists})


def target_of(fields: Mapping[str, Any]) -> Target:
    """Return the target that a document describes."""
    return Target(**fields)


def disks_of(found: list[dict[str, Any]]) -> tuple[Disk, ...]:
    """Return the disks that a document describes."""
    return tuple(Disk(**one) for one in found)


def groups_of(found: list[dict[str, Any]]) -> tuple[PlanGroup, ...]:
    """Return the groups of a plan that a document describes."""
    return tuple(
        PlanGroup(
            GroupKind(group["kind"]),
            tuple(group["items"]),
            *(tuple(map(_action_of, group[which])) for which in ("before", "after")),
        )
        for group in found
    )


def _action_of(fields: dict[str, Any]) -> PlanAction:
    made: dict[str, Any] = {
        **{"kind": ActionKind(fields["kind"]), "side": Side(fields["side"])},
        "occasions": tuple(map(Command, fields["occasions"])),
        "directions": tuple(map(Move, fields["directions"])),
    }
    return PlanAction(**{**fields, **made})


@dataclass(frozen=True, slots=True, eq=False)
class Form(Generic[Noun]):
    """How nouns of one kind are written; ``name`` is what people call one of them."""

    kind: type[Noun]
    name: str
    parts: Parts = field(default_factory=dict)

    def read(self, text: str) -> Noun:
        """Return the noun that a document describes."""
        found: Noun = _known(self, text) if len(text) <= KNOWN_CHARACTERS else self.made(text)
        return found

    def made(self, text: str) -> Noun:
        """Return the noun that a document describes, read anew."""
        return noun_of(self.kind, text, self.parts, f"a {self.name}")


@lru_cache(maxsize=1 << 15)
def _known(form: Form[Any], text: str) -> Any:
    """Return what was read of a document before: most are read again and again, and found by all they say."""
    return form.made(text)


class SqlShelf(Generic[Noun]):
    """Nouns of one kind."""

    def __init__(self, connection: sa.Connection, form: Form[Noun]) -> None:
        self._connection = connection
        self._form = form
        self._name = form.name

    def add(self, noun: Noun) -> None:
        """Write a new noun in."""
        self._check_vault(noun.vault)
        try:
            self._insert(noun)
        except IntegrityError as error:
            raise Exists(
                f"{noun.vault} has a {self._name} {noun.id} already", cure="choose another name"
            ) from error

    def put(self, noun: Noun) -> None:
        """Write a noun in, in place of another."""
        self._check_vault(noun.vault)
        where = self._these(noun.vault) & (SHELVES.c.id == noun.id)
        if not self._connection.execute(
            sa.update(SHELVES).where(where).values(document=text_of(noun))
        ).rowcount:
            self._insert(noun)

    def get(self, vault: str, id: str) -> Noun:
        """Return a noun, or raise Missing."""
        text = self._connection.execute(_ONE, {"vault": vault, "kind": self._name, "id": id}).scalar()
        if text is None:
            raise Missing(f"{vault} has no {self._name} {id}")
        return self._form.read(text)

    def list(self, vault: str) -> tuple[Noun, ...]:
        """Return a vault's nouns, by id."""
        found = self._connection.execute(_ALL, {"vault": vault, "kind": self._name}).scalars()
        return tuple(map(self._form.read, found))

    def remove(self, vault: str, id: str) -> None:
        """Remove a noun, or raise Missing."""
        gone = sa.delete(SHELVES).where(self._these(vault), SHELVES.c.id == id)
        if not self._connection.execute(gone).rowcount:
            raise Missing(f"{vault} has no {self._name} {id}")

    def _these(self, vault: str) -> sa.ColumnElement[bool]:
        return (SHELVES.c.vault == vault) & (SHELVES.c.kind == self._name)

    def _insert(self, noun: Noun) -> None:
        columns = {"vault": noun.vault, "kind": self._name, "id": noun.id, "document": text_of(noun)}
        self._connection.execute(sa.insert(SHELVES).values(columns))

    def _check_vault(self, vault: str) -> None:
        check_vault(self._connection, vault)


def check_vault(connection: sa.Connection, vault: str) -> None:
    """Raise Missing if there is no such vault."""
    if connection.execute(sa.select(VAULTS.c.name).where(VAULTS.c.name == vault)).first() is None:
        raise Missing(f"there is no vault called {vault}")


def vaults_of(person: sa.BindParameter[str]) -> sa.Select[tuple[str]]:
    """Return the question in which vaults somebody has a role."""
    return sa.select(SHELVES.c.vault).where(SHELVES.c.kind == _ROLE, SHELVES.c.id == person)


_TARGET: Parts = {"target": target_of}
_ASSIGNMENTS = Form(Assignment, _ROLE, {"role": Role})
_FABRICS = Form(Fabric, "fabric", {"kind": FabricKind})
_ENROLMENTS = Form(Enrolment, "registration key")
_SERVERS = Form(Server, "server")
_PROTECTABLE = Form(ProtectableItem, "protectable machine", {"disks": disks_of})
_POLICIES = Form(ReplicationPolicy, "policy", {"policy": policy_of})
_CONTAINERS = Form(Container, "container")
_MAPPINGS = Form(ContainerMapping, "container mapping", _TARGET)
_RECOVERY = Form(RecoverySettings, "recovery setting", _TARGET)
_PLANS = Form(RecoveryPlan, "recovery plan", {"groups": groups_of})
_CONDITIONS = Form(Condition, "condition", {"health": Health})
_ALERTS = Form(AlertSettings, "alert setting", {"mailboxes": tuple, "least": Health})
_EXTENDED = Form(ExtendedInfo, "extended information")
_ALERT_PLACES = Form(AlertPlace, "place of alerts")


class Shelves:
    """Every kind's shelf."""

    def __init__(self, connection: sa.Connection) -> None:
        self.assignments = SqlShelf(connection, _ASSIGNMENTS)
        self.fabrics = SqlShelf(connection, _FABRICS)
        self.enrolments = SqlShelf(connection, _ENROLMENTS)
        self.servers = SqlShelf(connection, _SERVERS)
        self.protectable = SqlShelf(connection, _PROTECTABLE)
        self.policies = SqlShelf(connection, _POLICIES)
        self.containers = SqlShelf(connection, _CONTAINERS)
        self.mappings = SqlShelf(connection, _MAPPINGS)
        self.recovery_settings = SqlShelf(connection, _RECOVERY)
        self.plans = SqlShelf(connection, _PLANS)
        self.conditions = SqlShelf(connection, _CONDITIONS)
        self.alerts = SqlShelf(connection, _ALERTS)
        self.extended = SqlShelf(connection, _EXTENDED)
        self.alert_places = SqlShelf(connection, _ALERT_PLACES)
