"""What requests name: of this vault and of others, in odd case and spelling, and what is no name at all.

What is known only when a server runs stands there by a word in capitals, see ``told``.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from hypothesis import strategies as st

from bascule.front.api.nouns.sides.fabrics import guid

_MACHINE = guid("h1", "one#shop")
_FREE = guid("h1", "one#till")
KNOWN: Mapping[str, tuple[str, ...]] = {
    **{"group": ("rg",), "vault": ("north",), "subscription": ("SUBSCRIPTION",), "fabric": ("site-1",)},
    **{"container": ("site-1",), "item": ("shop", "web", "till"), "policy": ("daily", "other")},
    **{"mapping": ("map1",), "plan": ("plan1",), "server": ("h1", "h2"), "protectable": (_MACHINE, _FREE)},
    **{"job": ("JOB", "JOB"), "point": ("shop/1", "p1"), "setting": ("default", "defaultAlertSetting")},
    **{"principal": ("SPARE",), "user": ("spare", "eva"), "secret": ("1",), "event": ("EVENT",)},
}
_OTHER = ("south", "site-3", "h3", "1", "default", "Default", "00000000-0000-0000-0000-000000000000")
_ODD = (
    *("..", ".", "%2e%2e", "%2F", "..%2F..%2Fsouth", "%00", "%0d%0aX:1", "%ff", "%", "%25%32%65", "+", "*"),
    *("'", "%27%20or%201=1", "%3B", "$", "~", "-", "%E2%80%AE", "%C3%BC", "a" * 300, "%F0%9F%92%A9" * 20),
    *("null", "CON", "{item}", "%7B%7B", "%20", "shop%20", "0", "-1", "NaN"),
)
_HOME = "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.RecoveryServices/vaults/{}"
_WORDS = (
    *("", "replicationPolicies/daily", "replicationFabrics/site-1", "replicationRecoveryPlans/plan1"),
    "replicationFabrics/site-1/replicationProtectionContainers/site-1",
    f"replicationFabrics/site-1/replicationProtectionContainers/site-1/replicationProtectableItems/{_FREE}",
    "replicationFabrics/site-1/replicationProtectionContainers/site-1/replicationProtectedItems/shop",
    "replicationFabrics/site-1/replicationRecoveryServicesProviders/h2",
    "replicationFabrics/site-3/replicationRecoveryServicesProviders/h3",
    "replicationFabrics/site-1/replicationProtectionContainers/site-1/replicationProtectedItems/shop"
    "/recoveryPoints/1",
)
_SPELT = (
    *(str, str, str, str.upper, str.lower, str.swapcase),
    *(lambda one: one + "/", lambda one: one.replace("/", "//"), lambda one: quote(one, safe="")),
    *(
        lambda one: one[1:],
        lambda one: one[: len(one) // 2],
        lambda one: one + "/../..",
        lambda one: one + "\n",
    ),
)

TEXTS = st.one_of(
    st.sampled_from(
        (
            *(
                "HyperVReplicaAzure",
                "HyperVSite",
                "HyperVReplicaAzureFailback",
                "A2A",
                "InMage",
                "HYPERVSITE",
            ),
            *("PrimaryToRecovery", "RecoveryToPrimary", "Microsoft Azure", "Boot", "Failover", "Shutdown"),
            *("true", "300", "-1", "PT10M", "2h:all", "1:2", "north", "site-1", "h1", "h2", "shop", "daily"),
            *("Enable", "Disable", "Required", "a@b.example", "/points", "/key", "default", "Contributor"),
        )
    ),
    st.text(max_size=40),
)
IDS = st.one_of(
    st.builds(
        lambda place, words, spelt: spelt(f"{_HOME.format(*place)}/{words}".rstrip("/")),
        st.one_of(
            st.just(("SUBSCRIPTION", "rg", "north")),
            st.tuples(
                st.sampled_from(("SUBSCRIPTION", "11111111-1111-4111-8111-111111111111")),
                st.sampled_from(("rg", "RG", "other")),
                st.sampled_from(("north", "NORTH", "south", "nowhere")),
            ),
        ),
        st.sampled_from(_WORDS),
        st.sampled_from(_SPELT),
    ),
    TEXTS,
)


def word(name: str) -> st.SearchStrategy[str]:
    """Return what may stand in a path for a name, as bytes of a path spell it."""
    known = st.sampled_from(KNOWN.get(name, ("1",)))
    likely = known.map(lambda one: quote(one, safe=""))
    wrong = st.one_of(
        known.map(lambda one: quote(one.swapcase(), safe="")),
        known.map(lambda one: "".join(f"%{byte:02x}" for byte in one.encode())),
        known.map(lambda one: quote(quote(one + "/", safe=""), safe="")),
        st.sampled_from(_OTHER),
        st.sampled_from(_ODD),
        st.text(min_size=1, max_size=40).map(lambda one: quote(one.encode("utf-8", "replace"), safe="")),
    )
    return st.sampled_from([False] * 24 + [True]).flatmap(lambda is_wrong: wrong if is_wrong else likely)


_FILTERS = st.one_of(
    st.sampled_from(
        (
            *(
                "JobStatus eq 'Failed'",
                "startTime ge '2020-01-01T00:00:00Z' and EndTime le '2030'",
                "x eq 'y'",
            ),
            *("AffectedObjectTypes eq 'a' and JobName ne ''", "(", "eq", "' or ''='", "a eq 'b' and " * 40),
            *("protectionStatus eq 'Unprotected'", "FriendlyName EQ 'ONE#SHOP'", "ExtendedInfo eq 'True'"),
            *("properties/name eq 'a'", "not (JobStatus eq 'Failed')", "EventType eq 'VmHealth'", "'" * 500),
        )
    ),
    st.text(max_size=60),
)
_PAGES = st.one_of(st.sampled_from(("", "0", "-1", "JOB", "9" * 40, "shop", "z")), st.text(max_size=40))
_VERSIONS = st.sampled_from(
    ["2025-08-01"] * 80
    + [
        "2018-01-10",
        "2025-08-01-preview",
        "",
        "latest",
        "2025-8-1",
        "\u0662\u0660\u0662\u0665-08-01",
        "\n",
        "9" * 99,
    ]
)
QUERIES = st.builds(
    lambda version, more, twice: [("api-version", version), *more, *more[: twice and 1]],
    _VERSIONS,
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(("$filter", "$FILTER")), _FILTERS),
            st.tuples(st.sampled_from(("$skipToken", "skipToken", "takeToken", "$take")), _PAGES),
            st.tuples(st.sampled_from(("deleteOption", "instanceType", "", "api_version", "a" * 300)), TEXTS),
        ),
        max_size=2,
    ),
    st.sampled_from([False] * 15 + [True]),
)
