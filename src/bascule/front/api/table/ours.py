"""What the SDK has no operation for, in the same style: where jobs are waited for, and who may sign in.

A line for each: its name, the verb, and the path in the short forms of ``operations``.
"""

from __future__ import annotations

ROWS = """
waiting
    status GET {V}/replicationOperationStatus/{job}
    item_result GET {I}/operationresults/{job}
jobs
    exported GET {V}/replicationJobs/export/csv
subscriptions
    list GET /subscriptions
    get GET /subscriptions/{subscription}
    tenants GET /tenants
principals
    list GET {B}/servicePrincipals
    create PUT {B}/servicePrincipals/{principal}
    renew_secret POST {B}/servicePrincipals/{principal}/renewSecret
    forget_secret DELETE {B}/servicePrincipals/{principal}/secrets/{secret}
    remove DELETE {B}/servicePrincipals/{principal}
users
    list GET {B}/users
    create PUT {B}/users/{user}
    reset_password POST {B}/users/{user}/resetPassword
    unlock POST {B}/users/{user}/unlock
    change_password POST {B}/changePassword
    remove DELETE {B}/users/{user}
roles
    list GET {V}/basculeRoles
    assign PUT {V}/basculeRoles/{principal}
    unassign DELETE {V}/basculeRoles/{principal}
records
    list GET {V}/basculeRecords
keys
    create POST {F}/basculeRegistrationKeys
recovery_settings
    get GET {V}/basculeRecoverySettings
    put PUT {V}/basculeRecoverySettings
    remove DELETE {V}/basculeRecoverySettings
    get_of_site GET {F}/basculeRecoverySettings
    put_of_site PUT {F}/basculeRecoverySettings
    remove_of_site DELETE {F}/basculeRecoverySettings
"""
