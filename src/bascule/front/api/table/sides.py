"""Operations on fabrics and what is in them, and on policies.

A line for each: its name in the SDK, the verb, and the path in the short forms of ``operations``.
"""

from __future__ import annotations

ROWS = """
replication_fabrics
    check_consistency POST {F}/checkConsistency
    create PUT {F}
    delete POST {F}/remove
    migrate_to_aad POST {F}/migratetoaad
    purge DELETE {F}
    reassociate_gateway POST {F}/reassociateGateway
    remove_infra POST {F}/removeInfra
    renew_certificate POST {F}/renewCertificate
    get GET {F}
    list GET {V}/replicationFabrics
replication_logical_networks
    get GET {F}/replicationLogicalNetworks/{network}
    list_by_replication_fabrics GET {F}/replicationLogicalNetworks
replication_network_mappings
    create PUT {NM}/{mapping}
    delete DELETE {NM}/{mapping}
    update PATCH {NM}/{mapping}
    get GET {NM}/{mapping}
    list GET {V}/replicationNetworkMappings
    list_by_replication_networks GET {NM}
replication_networks
    get GET {F}/replicationNetworks/{network}
    list GET {V}/replicationNetworks
    list_by_replication_fabrics GET {F}/replicationNetworks
replication_policies
    create PUT {V}/replicationPolicies/{policy}
    delete DELETE {V}/replicationPolicies/{policy}
    update PATCH {V}/replicationPolicies/{policy}
    get GET {V}/replicationPolicies/{policy}
    list GET {V}/replicationPolicies
replication_protectable_items
    get GET {C}/replicationProtectableItems/{protectable}
    list_by_replication_protection_containers GET {C}/replicationProtectableItems
replication_protection_container_mappings
    create PUT {M}/{mapping}
    delete POST {M}/{mapping}/remove
    purge DELETE {M}/{mapping}
    update PATCH {M}/{mapping}
    get GET {M}/{mapping}
    list GET {V}/replicationProtectionContainerMappings
    list_by_replication_protection_containers GET {M}
replication_protection_containers
    create PUT {C}
    delete POST {C}/remove
    discover_protectable_item POST {C}/discoverProtectableItem
    switch_cluster_protection POST {C}/switchClusterProtection
    switch_protection POST {C}/switchprotection
    get GET {C}
    list GET {V}/replicationProtectionContainers
    list_by_replication_fabrics GET {F}/replicationProtectionContainers
replication_recovery_services_providers
    create PUT {H}/{server}
    delete POST {H}/{server}/remove
    purge DELETE {H}/{server}
    refresh_provider POST {H}/{server}/refreshProvider
    get GET {H}/{server}
    list GET {V}/replicationRecoveryServicesProviders
    list_by_replication_fabrics GET {H}
replication_storage_classification_mappings
    create PUT {TM}/{mapping}
    delete DELETE {TM}/{mapping}
    get GET {TM}/{mapping}
    list GET {V}/replicationStorageClassificationMappings
    list_by_replication_storage_classifications GET {TM}
replication_storage_classifications
    get GET {F}/replicationStorageClassifications/{classification}
    list GET {V}/replicationStorageClassifications
    list_by_replication_fabrics GET {F}/replicationStorageClassifications
replication_v_centers
    create PUT {F}/replicationvCenters/{vcenter}
    delete DELETE {F}/replicationvCenters/{vcenter}
    update PATCH {F}/replicationvCenters/{vcenter}
    get GET {F}/replicationvCenters/{vcenter}
    list GET {V}/replicationvCenters
    list_by_replication_fabrics GET {F}/replicationvCenters
"""
