"""What all tests share: how hypothesis behaves, what ``--brief`` leaves out, what ``--examples`` adds, what
is not even read of tests that are not wanted, what is tried twice, where logs go, and how the memory of a
long run stays bounded.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings

# Enough to see a family of cases fail, few enough that ``make check`` is worth it before each commit.
BRIEF_CASES = 2
BRIEF_EXAMPLES = 10

# A file that is for the lab as a whole. To import them all takes a second of each worker.
FOR_THE_LAB = re.compile(r"^pytestmark = \[?pytest\.mark\.(?:lab|long)\b", re.MULTILINE)

# Real guests and servers share two cores with seven other workers. One that fails beside them has one more
# try, and its first is shown with its traceback among the reruns: a race to be found, which refuses nothing.
SECOND_TRY = pytest.mark.flaky(reruns=1)

# So much may a worker grow before what nobody uses is given back.
GROWTH_BYTES = 256 << 20

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
    # Not on standard output, where commands that a test runs in this process answer: shown with what failed.
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    settings.load_profile("brief" if config.getoption("--brief") else "house")
    if examples := config.getoption("--examples"):
        house = settings.get_profile("house")
        settings.register_profile("soak", house, max_examples=examples, derandomize=False, phases=list(Phase))
        settings.load_profile("soak")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if "not lab" not in config.getoption("-m") or not collection_path.name.startswith("test_"):
        return None
    return bool(FOR_THE_LAB.search(collection_path.read_text())) or None


def pytest_collection_finish() -> None:
    """Spare the collector of garbage what stays to the end: each of its turns took half a second."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let go of what a test held.

    An exception that is a parameter keeps, by its traceback, all that the test had, to the end of the
    run. And the C library keeps what threads freed, for each of them apart.
    """
    global _grown_to
    done = yield
    callspec = getattr(item, "callspec", None)
    for value in callspec.params.values() if callspec else ():
        if isinstance(value, BaseException):
            value.__traceback__ = value.__context__ = None
    if (size := _resident()) > _grown_to + GROWTH_BYTES:
        gc.collect()
        _trim(0)
        _grown_to = _resident()
    _grown_to = min(_grown_to, size)
    return done


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "lab" in item.keywords and "long" not in item.keywords:
            item.add_marker(SECOND_TRY)
    if not config.getoption("--brief"):
        return
    kept = {item for _, family in groupby(items, key=_family) for item in _spread(list(family))}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


_trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _padding: 0)
_grown_to = _resident()


def _family(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _spread(family: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield first, last, and some in between at even steps: the same ones at each run."""
    steps = min(len(family), BRIEF_CASES) - 1
    for step in range(steps + 1):
        yield family[step * (len(family) - 1) // max(steps, 1)]
