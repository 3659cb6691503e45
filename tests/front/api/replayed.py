"""Bodies as the official SDK 2.0.0 sends them to Azure, for a site of hosts: recorded, and sent unchanged.

What is in them of one subscription is a placeholder: its id, the group, the vault, names that clients take
from lists (the machine's id, its disks, a host).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_V = "/subscriptions/SUB/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v1"
_F = f"{_V}/replicationFabrics/site1"
_C = f"{_F}/replicationProtectionContainers/cloud_S"
_AZURE = '"instanceType":"HyperVReplicaAzure"'
_OVER, _HOME = '"failoverDirection":"PrimaryToRecovery"', '"failoverDirection":"RecoveryToPrimary"'

BODIES: Mapping[str, str] = {
    "site": '{"properties":{"customDetails":{"instanceType":"HyperVSite"}}}',
    "policy": (
        '{"properties":{"providerSpecificInput":{"recoveryPointHistoryDuration":2,'
        '"applicationConsistentSnapshotFrequencyInHours":1,"replicationInterval":300,'
        f'"storageAccounts":["/sa"],{_AZURE}}}}}}}'
    ),
    "mapping": (
        '{"properties":{"targetProtectionContainerId":"Microsoft Azure",'
        f'"policyId":"{_V}/replicationPolicies/hva","providerSpecificInput":{{{_AZURE}}}}}}}'
    ),
    "enable": (
        f'{{"properties":{{"policyId":"{_V}/replicationPolicies/hva",'
        f'"protectableItemId":"{_C}/replicationProtectableItems/hv1",'
        '"providerSpecificDetails":{"hvHostVmId":"VMGUID","vmName":"hv1","osType":"Windows",'
        '"vhdId":"OSVHD","targetStorageAccountId":"/sa","targetAzureNetworkId":"/vnet",'
        '"targetAzureSubnetId":"default","targetAzureV2ResourceGroupId":"/rg","targetAzureVmName":"hv1",'
        '"enableRdpOnTargetOption":"Never","disksToInclude":["OSVHD","DATAVHD"],'
        f'"useManagedDisks":"false",{_AZURE}}}}}}}'
    ),
    "planned": f'{{"properties":{{{_OVER},"providerSpecificDetails":{{{_AZURE}}}}}}}',
    "unplanned": (
        f'{{"properties":{{{_OVER},"sourceSiteOperations":"Required",'
        f'"providerSpecificDetails":{{"recoveryPointId":"/rp",{_AZURE}}}}}}}'
    ),
    "point": (f'{{"properties":{{"recoveryPointId":"/rp2","providerSpecificDetails":{{{_AZURE}}}}}}}'),
    "home": (
        f'{{"properties":{{{_HOME},"providerSpecificDetails":{{"dataSyncOption":"ForSynchronization",'
        '"recoveryVmCreationOption":"NoAction","instanceType":"HyperVReplicaAzureFailback"}}}'
    ),
    "complete": '{"properties":{"comments":"Complete failover"}}',
    "elsewhere": (
        f'{{"properties":{{{_HOME},"providerSpecificDetails":{{"dataSyncOption":"ForDownTime",'
        '"recoveryVmCreationOption":"CreateVmIfNotFound","providerIdForAlternateRecovery":'
        f'"{_F}/replicationRecoveryServicesProviders/P2",'
        '"instanceType":"HyperVReplicaAzureFailback"}}}'
    ),
    "reprotect": (
        f'{{"properties":{{{_OVER},"providerSpecificDetails":{{"hvHostVmId":"VMGUID","vmName":"hv1",'
        '"osType":"Windows","vHDId":"OSVHD","storageAccountId":"/sa","logStorageAccountId":"/sa",'
        f"{_AZURE}}}}}}}"
    ),
    "remove": (
        '{"properties":{"disableProtectionReason":"NotSpecified",'
        f'"replicationProviderInput":{{{_AZURE}}}}}}}'
    ),
    "unmap": f'{{"properties":{{"providerSpecificInput":{{{_AZURE}}}}}}}',
}


def body(name: str, placeholders: Mapping[str, str]) -> Any:
    """Return a body, with what stands for its placeholders."""
    text = BODIES[name]
    for word, value in placeholders.items():
        text = text.replace(word, value)
    return json.loads(text)
