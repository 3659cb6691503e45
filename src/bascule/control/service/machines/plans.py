"""Recovery plans of a vault (R-PL-1). They can be made and changed; nothing runs them yet."""

from __future__ import annotations

from bascule.model.errors import Missing, Refused
from bascule.model.vault.access import Caller, Right
from bascule.model.vault.item import Protection
from bascule.model.vault.plan import RecoveryPlan
from bascule.model.vault.sides.pairing import AZURE
from bascule.ports.catalog import Books

from ..gate import Call, Gate


class PlanDesk:
    """The recovery plans of vaults."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def list(self, caller: Caller, vault: str) -> tuple[RecoveryPlan, ...]:
        """Return a vault's plans, by name."""
        with self._gate.reading(Call(caller, "list-plans", vault, Right.READ)) as books:
            return books.plans.list(vault)

    def put(self, caller: Caller, plan: RecoveryPlan) -> RecoveryPlan:
        """Write a plan in, in place of one of its name. Its machines have to be protected."""
        with self._gate.writing(Call(caller, "put-plan", plan.vault, Right.CHANGE, plan.id)) as books:
            for site in (plan.primary, plan.leads_to):
                if site != AZURE:
                    books.fabrics.get(plan.vault, site)
            for item in plan.items:
                _check_item(books, plan, item)
            books.plans.put(plan)
            return plan

    def remove(self, caller: Caller, vault: str, id: str) -> None:
        """Remove a plan; its machines stay as they are."""
        with self._gate.writing(Call(caller, "remove-plan", vault, Right.CHANGE, id)) as books:
            books.plans.remove(vault, id)


def _check_item(books: Books, plan: RecoveryPlan, id: str) -> None:
    item = books.items.get(plan.vault, id)
    if item.protection is Protection.UNPROTECTED:
        raise Refused(f"{item.name} is not protected", cure="protect it first", code="not-allowed")
    grouped = item.mapping.partition("/")[0]
    site = grouped or _site(books, plan.vault, item.route.source)
    if site != plan.primary:
        raise Refused(
            f"{item.name} is of {site or 'no site'}, and plan {plan.id} is for {plan.primary}",
            cure="put it into a plan of its site",
            code="other-site",
        )


def _site(books: Books, vault: str, host: str) -> str:
    try:
        return books.servers.get(vault, host).fabric
    except Missing:
        return ""
