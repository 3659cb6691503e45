"""Small nouns, each kind on its shelf: one table of documents, which nobody searches but by id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from bascule.model.vault.signs.event import Condition, Health

from .documents import noun_of, text_of
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


def policy_of(fields: Mapping[str, Any]) -> Policy:
    """Return the policy that a document describes."""
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Policy(**{**fields, **lists})


def target_of(fields: Mapping[str, Any]) -> Target:
    """Return the target that a document describes."""
    return Target(**fields)


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


class SqlShelf(Generic[Noun]):
    """Nouns of one kind; ``name`` is what people call one of them."""

    def __init__(self, connection: sa.Connection, kind: type[Noun], name: str, parts: Parts) -> None:
        self._connection = connection
        self._kind = kind
        self._name = name
        self._parts = parts

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
        found = sa.select(SHELVES.c.document).where(self._these(vault), SHELVES.c.id == id)
        text = self._connection.execute(found).scalar()
        if text is None:
            raise Missing(f"{vault} has no {self._name} {id}")
        return self._read(text)

    def list(self, vault: str) -> tuple[Noun, ...]:
        """Return a vault's nouns, by id."""
        rows = sa.select(SHELVES.c.document).where(self._these(vault)).order_by(SHELVES.c.id)
        return tuple(map(self._read, self._connection.execute(rows).scalars()))

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

    def _read(self, text: str) -> Noun:
        return noun_of(self._kind, text, self._parts, f"a {self._name}")


def check_vault(connection: sa.Connection, vault: str) -> None:
    """Raise Missing if there is no such vault."""
    if connection.execute(sa.select(VAULTS.c.name).where(VAULTS.c.name == vault)).first() is None:
        raise Missing(f"there is no vault called {vault}")


def vaults_of(person: str) -> sa.Select[tuple[str]]:
    """Return the question in which vaults somebody has a role."""
    return sa.select(SHELVES.c.vault).where(SHELVES.c.kind == _ROLE, SHELVES.c.id == person)


class Shelves:
    """Every kind's shelf."""

    def __init__(self, connection: sa.Connection) -> None:
        self.assignments = SqlShelf(connection, Assignment, _ROLE, {"role": Role})
        self.fabrics = SqlShelf(connection, Fabric, "fabric", {"kind": FabricKind})
        self.enrolments = SqlShelf(connection, Enrolment, "registration key", {})
        self.servers = SqlShelf(connection, Server, "server", {})
        self.protectable = SqlShelf(connection, ProtectableItem, "protectable machine", {})
        self.policies = SqlShelf(connection, ReplicationPolicy, "policy", {"policy": policy_of})
        target = {"target": target_of}
        self.containers = SqlShelf(connection, Container, "container", {})
        self.mappings = SqlShelf(connection, ContainerMapping, "container mapping", target)
        self.recovery_settings = SqlShelf(connection, RecoverySettings, "recovery setting", target)
        self.plans = SqlShelf(connection, RecoveryPlan, "recovery plan", {"groups": groups_of})
        self.conditions = SqlShelf(connection, Condition, "condition", {"health": Health})
        alerts = {"mailboxes": tuple, "least": Health}
        self.alerts = SqlShelf(connection, AlertSettings, "alert setting", alerts)
        self.extended = SqlShelf(connection, ExtendedInfo, "extended information", {})
        self.alert_places = SqlShelf(connection, AlertPlace, "place of alerts", {})
