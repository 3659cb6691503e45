"""Operations on vaults and what is said of a whole vault.

A line for each: its name in the SDK, the verb, and the path in the short forms of ``operations``.
"""

from __future__ import annotations

ROWS = """
operations
    list GET {G}/operations
replication_alert_settings
    create PUT {V}/replicationAlertSettings/{setting}
    get GET {V}/replicationAlertSettings/{setting}
    list GET {V}/replicationAlertSettings
replication_events
    get GET {V}/replicationEvents/{event}
    list GET {V}/replicationEvents
replication_vault_health
    refresh POST {V}/replicationVaultHealth/default/refresh
    get GET {V}/replicationVaultHealth
replication_vault_setting
    create PUT {V}/replicationVaultSettings/{setting}
    get GET {V}/replicationVaultSettings/{setting}
    list GET {V}/replicationVaultSettings
deleted_vaults
    undelete POST {S}/locations/{location}/deletedVaults/{deleted_vault}/undelete
    get GET {S}/locations/{location}/deletedVaults/{deleted_vault}
    get_operation_status GET {S}/locations/{location}/deletedVaults/{deleted_vault}/operations/{operation}
    list_by_subscription_id GET {S}/locations/{location}/deletedVaults
operations
    list_of_provider GET /providers/Microsoft.RecoveryServices/operations
private_link_resources
    get GET {V}/privateLinkResources/{private_link_resource}
    list GET {V}/privateLinkResources
recovery_services
    capabilities POST {S}/locations/{location}/capabilities
    check_name_availability POST {G}/locations/{location}/checkNameAvailability
registered_identities
    delete DELETE {V}/registeredIdentities/{identity}
replication_usages
    list GET {V}/replicationUsages
usages
    list_by_vaults GET {V}/usages
vault_certificates
    create PUT {V}/certificates/{certificate}
vault_extended_info
    create_or_update PUT {V}/extendedInformation/vaultExtendedInfo
    get GET {V}/extendedInformation/vaultExtendedInfo
    update PATCH {V}/extendedInformation/vaultExtendedInfo
vaults
    create_or_update PUT {V}
    delete DELETE {V}
    update PATCH {V}
    get GET {V}
    list_by_resource_group GET {G}/vaults
    list_by_subscription_id GET {S}/vaults
"""
