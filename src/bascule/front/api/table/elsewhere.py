"""Operations of scenarios that are none of ours.

A line for each: its name in the SDK, the verb, and the path in the short forms of ``operations``.
"""

from __future__ import annotations

ROWS = """
cluster_recovery_point
    get GET {K}/recoveryPoints/{point}
cluster_recovery_points
    list_by_replication_protection_cluster GET {K}/recoveryPoints
migration_recovery_points
    get GET {X}/migrationRecoveryPoints/{point}
    list_by_replication_migration_items GET {X}/migrationRecoveryPoints
replication_appliances
    list GET {V}/replicationAppliances
replication_eligibility_results
    get GET {E}/default
    list GET {E}
replication_migration_items
    create PUT {X}
    delete DELETE {X}
    migrate POST {X}/migrate
    pause_replication POST {X}/pauseReplication
    resume_replication POST {X}/resumeReplication
    resync POST {X}/resync
    test_migrate POST {X}/testMigrate
    test_migrate_cleanup POST {X}/testMigrateCleanup
    update PATCH {X}
    get GET {X}
    list GET {V}/replicationMigrationItems
    list_by_replication_protection_containers GET {C}/replicationMigrationItems
replication_protection_clusters
    apply_recovery_point POST {K}/applyRecoveryPoint
    create PUT {K}
    failover_commit POST {K}/failoverCommit
    purge DELETE {K}
    repair_replication POST {K}/repairReplication
    test_failover POST {K}/testFailover
    test_failover_cleanup POST {K}/testFailoverCleanup
    unplanned_failover POST {K}/unplannedFailover
    get GET {K}
    get_operation_results GET {K}/operationResults/{job}
    list GET {V}/replicationProtectionClusters
    list_by_replication_protection_containers GET {C}/replicationProtectionClusters
replication_protection_intents
    create PUT {V}/replicationProtectionIntents/{intent_object}
    get GET {V}/replicationProtectionIntents/{intent_object}
    list GET {V}/replicationProtectionIntents
"""
