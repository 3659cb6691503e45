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
"""
