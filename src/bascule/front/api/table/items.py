"""Operations on protected items, jobs and recovery plans.

A line for each: its name in the SDK, the verb, and the path in the short forms of ``operations``.
"""

from __future__ import annotations

ROWS = """
recovery_points
    get GET {I}/recoveryPoints/{point}
    list_by_replication_protected_items GET {I}/recoveryPoints
replication_jobs
    cancel POST {V}/replicationJobs/{job}/cancel
    export POST {V}/replicationJobs/export
    restart POST {V}/replicationJobs/{job}/restart
    resume POST {V}/replicationJobs/{job}/resume
    get GET {V}/replicationJobs/{job}
    list GET {V}/replicationJobs
replication_protected_items
    add_disks POST {I}/addDisks
    apply_recovery_point POST {I}/applyRecoveryPoint
    create PUT {I}
    delete POST {I}/remove
    failover_cancel POST {I}/failoverCancel
    failover_commit POST {I}/failoverCommit
    planned_failover POST {I}/plannedFailover
    purge DELETE {I}
    reinstall_mobility_service POST {I}/reinstallMobilityService
    remove_disks POST {I}/removeDisks
    repair_replication POST {I}/repairReplication
    reprotect POST {I}/reProtect
    resolve_health_errors POST {I}/resolveHealthErrors
    switch_provider POST {I}/switchProvider
    test_failover POST {I}/testFailover
    test_failover_cleanup POST {I}/testFailoverCleanup
    unplanned_failover POST {I}/unplannedFailover
    update PATCH {I}
    update_appliance POST {I}/updateAppliance
    update_mobility_service POST {I}/updateMobilityService
    get GET {I}
    list GET {V}/replicationProtectedItems
    list_by_replication_protection_containers GET {C}/replicationProtectedItems
replication_recovery_plans
    create PUT {P}
    delete DELETE {P}
    failover_cancel POST {P}/failoverCancel
    failover_commit POST {P}/failoverCommit
    planned_failover POST {P}/plannedFailover
    reprotect POST {P}/reProtect
    test_failover POST {P}/testFailover
    test_failover_cleanup POST {P}/testFailoverCleanup
    unplanned_failover POST {P}/unplannedFailover
    update PATCH {P}
    get GET {P}
    list GET {V}/replicationRecoveryPlans
supported_operating_systems
    get GET {V}/replicationSupportedOperatingSystems
target_compute_sizes
    list_by_replication_protected_items GET {I}/targetComputeSizes
"""
