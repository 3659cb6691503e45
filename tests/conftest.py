"""What all tests share: how hypothesis behaves, what ``--brief`` leaves out, what ``--examples`` adds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby

import pytest
from hypothesis import HealthCheck, Phase, settings

# Enough to see a family of cases fail, few enough that ``make check`` is worth it before each commit.
BRIEF_CASES = 2
BRIEF_EXAMPLES = 10

# No deadline: the same example takes ten times as long while a guest boots on the other core.
# On a build machine the examples are derived from the tests alone, so a red build stays red when run again;
# and they are shown as found: to make one small may take longer than a test may, and nobody would see it.
_ON_A_BUILD_MACHINE = bool(os.environ.get("CI"))
settings.register_profile(
    "house",
    deadline=None,
    print_blob=True,
    derandomize=_ON_A_BUILD_MACHINE,
    phases=[phase for phase in Phase if not (_ON_A_BUILD_MACHINE and phase in (Phase.shrink, Phase.explain))],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("brief", settings.get_profile("house"), max_examples=BRIEF_EXAMPLES)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--brief",
        action="store_true",
        help=f"run {BRIEF_CASES} cases of each parametrised test, {BRIEF_EXAMPLES} examples of each property",
    )
    parser.addoption(
        "--examples",
        type=int,
        metavar="N",
        help="try each property with N examples (or its share of N), each run with others",
    )


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("brief" if config.getoption("--brief") else "house")
    if examples := config.getoption("--examples"):
        house = settings.get_profile("house")
        settings.register_profile("soak", house, max_examples=examples, derandomize=False, phases=list(Phase))
        settings.load_profile("soak")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--brief"):
        return
    kept = {item for _, family in groupby(items, key=_family) for item in _spread(list(family))}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _family(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _spread(family: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield first, last, and some in between at even steps: the same ones at each run."""
    steps = min(len(family), BRIEF_CASES) - 1
    for step in range(steps + 1):
        yield family[step * (len(family) - 1) // max(steps, 1)]
