"""All desks of a server behind one gate: what API, portal and command line share."""

from __future__ import annotations

from dataclasses import dataclass

from bascule.control.jobs.jobs import Jobs
from bascule.ports.catalog import Catalog
from bascule.ports.chance import Clock, Ids
from bascule.ports.sites import RecoverySite

from .gate import Gate
from .jobs import JobDesk
from .machines.items import ItemDesk
from .machines.plans import PlanDesk
from .machines.points import PointDesk
from .sides.containers import ContainerDesk, MappingDesk
from .sides.fabrics import Entrance, FabricDesk
from .sides.policies import PolicyDesk
from .sides.recovery import RecoveryDesk
from .signs import SignDesk
from .vaults import VaultDesk


@dataclass(frozen=True, slots=True)
class Service:
    """The desks. Each call begins with its caller, and is checked and recorded by the gate."""

    gate: Gate
    vaults: VaultDesk
    fabrics: FabricDesk
    containers: ContainerDesk
    mappings: MappingDesk
    recovery: RecoveryDesk
    policies: PolicyDesk
    items: ItemDesk
    plans: PlanDesk
    points: PointDesk
    jobs: JobDesk
    signs: SignDesk


def service(
    catalog: Catalog, jobs: Jobs, entrance: Entrance, recovery: RecoverySite, clock: Clock, ids: Ids
) -> Service:
    """Return the service of a server."""
    gate = Gate(catalog, clock)
    return Service(
        gate,
        VaultDesk(gate),
        FabricDesk(gate, entrance, clock, ids),
        ContainerDesk(gate),
        MappingDesk(gate),
        RecoveryDesk(gate),
        PolicyDesk(gate),
        ItemDesk(gate, jobs, ids),
        PlanDesk(gate),
        PointDesk(gate, recovery, clock, ids),
        JobDesk(gate, jobs),
        SignDesk(gate),
    )
