"""``bascule replica shape``, and what the verbs make of it, on a host in memory (R-FO-4)."""

from __future__ import annotations

import pytest

from bascule.model.machines import mac_of
from tests.front.cli.replica.conftest import Side
from tests.recovery.worlds import GROUP


def plug(side: Side, name: str) -> tuple[int, int, str]:
    hardware = side.world.host.definition(name).hardware
    return hardware.cpus, hardware.memory_mib, hardware.nics[0].network


def test_without_options_it_shows_what_machines_would_be(side: Side) -> None:
    shown = side("shape", "--json").document
    (db, web) = shown["failover"]
    assert (db["machine"], db["name"], db["cpus"], db["memory_mib"]) == ("db", "db", 2, 256)
    assert web["cards"] == [{"id": "nic0", "network": "lan", "mac": mac_of("web", "nic0")}]
    assert [found["name"] for found in shown["test"]] == ["db-test", "web-test"]
    assert not (side.world.root / "r" / GROUP).exists(), "showing keeps nothing"


def test_what_was_said_before_holds_at_the_failover(side: Side) -> None:
    side("shape", "--cpus", "db=8", "--memory", "1G", "--name", "db=db-2")
    said = side("shape", "--card", "web/nic0=test", "--mac", "web/nic0=52:54:00:00:00:09")
    assert "nic0=test 52:54:00:00:00:09" in said.out
    side("fail-over")
    assert plug(side, "db-2") == (8, 1024, "lan")
    assert plug(side, "web") == (2, 1024, "test")
    (db, web) = side("status", "--json").document["machines"]
    assert (db["machine"], db["cpus"], db["memory"]) == ("db-2", "8", "1024 MiB")
    assert web["cards"] == "nic0=test 52:54:00:00:00:09"
    assert db["cards"] == f"nic0=lan {mac_of('db', 'nic0')}", "the card keeps its address under a new name"


def test_what_is_said_at_the_command_comes_before_it(side: Side) -> None:
    side("shape", "--cpus", "8", "--network", "lan=test")
    side("fail-over", "--cpus", "db=1", "--network", "lan=")
    assert plug(side, "db") == (1, 256, "")
    assert plug(side, "web") == (8, 256, "")


def test_another_point_gets_the_machines_that_the_failover_asked_for(side: Side) -> None:
    """R-RP-4."""
    first, *_ = side.world.numbers()
    side("fail-over", "--cpus", "db=1", "--cpus", "web=1", "--name", "db=db-2")
    side("change-point", f"{GROUP}/{first}", "--cpus", "web=3")
    assert plug(side, "db-2") == (1, 256, "lan")
    assert plug(side, "web") == (3, 256, "lan")


def test_a_test_has_networks_of_its_own_and_the_sizes_of_a_failover(side: Side) -> None:
    """R-FO-1, R-FO-4."""
    side("shape", "--cpus", "4", "--card", "db/nic0=lan")
    side("shape", "--for-test", "--card", "db/nic0=test", "--memory", "db=128M")
    side("test")
    assert plug(side, "db-test") == (4, 128, "test")
    assert plug(side, "web-test") == (4, 256, "")
    side("clean-up")
    side("test", "--network", "test", "--card", "web/nic0=")
    assert (plug(side, "db-test")[2], plug(side, "web-test")[2]) == ("test", "")


def test_a_clearing_forgets_it_and_that_of_tests_alone_if_asked(side: Side) -> None:
    side("shape", "--cpus", "8")
    side("shape", "--for-test", "--cpus", "1")
    cleared = side("shape", "--clear", "--for-test", "--json").document
    assert [found["cpus"] for found in (*cleared["failover"], *cleared["test"])] == [8, 8, 8, 8]
    cleared = side("shape", "--clear", "--json").document
    assert [found["cpus"] for found in (*cleared["failover"], *cleared["test"])] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--network", "lan=dmz"), ("db is plugged into dmz", "with --network or --card: lan, test")),
        (("--card", "db/nic0=dmz"), ("db is plugged into dmz", "--card: lan, test")),
        (("--cpus", "ghost=2"), ("no machine ghost", "it has db, web")),
        (("--card", "db/nic7=lan"), ("db has no network card nic7", "it has nic0")),
        (("--card", "nic0=lan"), ("does not say which card of which machine", "MACHINE/CARD=lan")),
        (("--memory", "8M"), ("8 MiB of memory are no machine", "16 MiB")),
        (("--memory", "2048"), ("less than a MiB", "512M")),
        (("--cpus", "db=none"), ("no number of processors", "--cpus MACHINE=2")),
        (("--mac", "db/nic0=01:00:00:00:00:00"), ("no address of a network card", "first one even")),
        (("--cpus", "db=65"), ("db is to have 65 processors", "64 or fewer")),
        (("--memory", "128G"), ("131072 MiB of memory, and this host has 65536 MiB", "another host")),
        (
            ("--address", "db/nic0=10.1.2.9/24"),
            ("nobody hands out 10.1.2.9/24 in 'lan'", "reserve it there"),
        ),
        (("--address", "db/nic0=10.1.2.9"), ("'10.1.2.9' is no address for the guest", "10.1.2.9/24")),
        (("--name", "db=web"), ("both be called web", "--name")),
    ],
)
def test_what_cannot_be_is_refused_with_a_cure_and_nothing_is_kept(
    side: Side, words: tuple[str, str], said: tuple[str, str]
) -> None:
    for verb in ("shape", "fail-over"):
        refused = side(verb, GROUP, *words, code=2)
        assert all(part in refused.err for part in said), refused.err
    assert side.world.running() == {}
    side("fail-over")
    assert plug(side, "db") == (2, 256, "lan")


def test_a_network_that_went_since_is_refused_before_anything_is_fenced(side: Side) -> None:
    side("shape", "--network", "lan=test")
    side.world.host.lose_network("test")
    head = next(side.world.vault.log(GROUP).numbers())
    refused = side("fail-over", code=2)
    assert "plugged into test, which this host does not have" in refused.err
    assert next(side.world.vault.log(GROUP).numbers()) == head
    side("fail-over", "--network", "lan=lan")
