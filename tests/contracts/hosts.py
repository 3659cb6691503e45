"""What every ``Hosts`` must keep. A subclass gives the fixture ``hosts``."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from bascule.model.errors import Missing, Refused
from bascule.model.items import Headway
from bascule.model.vault.commands import Json, Report, Result
from bascule.ports.vault.hosts import Claim, Hosts, HostState, RegistrationKey, Sighting
from bascule.ports.vault.pki import Certificate

NOW = 1_800_000_000.0


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def claim(host: str = "h1", key: str = "k1", secret: str = "s1") -> Claim:
    return Claim(host, f"name of {host}", key, digest(secret))


def certificate(host: str = "h1", serial: str = "1", key: str = "") -> Certificate:
    return Certificate(f"text {serial}", "v", host, serial, key or f"key {serial}", NOW, NOW + 1000)


def refusal(call: object, *given: object) -> str:
    with pytest.raises(Refused) as caught:
        call(*given)
    return caught.value.code


class HostsContract:
    @pytest.fixture
    def joined(self, hosts: Hosts) -> Hosts:
        hosts.add_key(RegistrationKey("k1", digest("s1"), NOW + 10))
        hosts.register(claim(), certificate(), NOW)
        return hosts

    def test_a_key_lets_several_hosts_in_and_each_once(self, joined: Hosts) -> None:
        joined.register(claim("h2"), certificate("h2", "2"), NOW)
        assert [(host.id, host.key) for host in joined.all()] == [("h1", "k1"), ("h2", "k1")]
        assert refusal(joined.register, claim(), certificate(serial="3"), NOW) == "key-used"
        assert joined.all()[0].certificate_expires_at == NOW + 1000

    def test_who_asks_again_for_the_same_key_gets_the_same_certificate(self, joined: Hosts) -> None:
        again = certificate(serial="9", key="key 1")
        assert joined.register(claim(), again, NOW + 5) == "text 1"
        joined.admit(certificate(), NOW)
        assert refusal(joined.admit, again, NOW) == "superseded"

    @pytest.mark.parametrize(
        ("wrong", "now", "code"),
        [
            (claim("h9", key="k9"), NOW, "unknown-key"),
            (claim("h9", secret="guessed"), NOW, "unknown-key"),
            (claim("h9"), NOW + 10, "key-expired"),
        ],
    )
    def test_a_key_that_is_none_lets_nobody_in(
        self, joined: Hosts, wrong: Claim, now: float, code: str
    ) -> None:
        assert refusal(joined.register, wrong, certificate("h9", "9"), now) == code
        assert [host.id for host in joined.all()] == ["h1"]

    def test_a_key_for_any_host_replaces_none(self, joined: Hosts) -> None:
        joined.add_key(RegistrationKey("k2", digest("s2"), NOW + 10))
        assert refusal(joined.register, claim("h1", "k2", "s2"), certificate(serial="2"), NOW) == "host-known"
        joined.admit(certificate(), NOW)

    def test_a_key_for_a_host_replaces_that_one_and_ends_its_revocation(self, joined: Hosts) -> None:
        joined.revoke("h1")
        assert refusal(joined.admit, certificate(), NOW) == "revoked"
        joined.add_key(RegistrationKey("k2", digest("s2"), NOW + 10, "h1"))
        assert refusal(joined.register, claim("h2", "k2", "s2"), certificate("h2", "2"), NOW) == "unknown-key"
        joined.register(claim("h1", "k2", "s2"), certificate(serial="2"), NOW)
        joined.admit(certificate(serial="2"), NOW)
        assert refusal(joined.admit, certificate(), NOW) == "superseded"

    def test_who_was_revoked_does_nothing_any_more(self, joined: Hosts) -> None:
        joined.revoke("h1")
        assert refusal(joined.renew, certificate(), certificate(serial="2")) == "revoked"
        assert refusal(joined.register, claim(), certificate(), NOW) == "revoked"
        assert refusal(joined.give, "h1", "o1", "pause", "web", {}) == "revoked"
        assert refusal(joined.exchange, "h1", 0, (Result(1, "o1", True),), 9) == "revoked"
        assert refusal(joined.report, Report("h1", 1, 0), NOW) == "revoked"
        assert joined.all()[0].is_revoked

    def test_hosts_are_let_in_by_one_authority(self, joined: Hosts) -> None:
        joined.trust("first")
        joined.trust("first")
        assert refusal(joined.trust, "second") == "another-authority"

    def test_who_is_not_known_is_missing(self, hosts: Hosts) -> None:
        for call in (
            lambda: hosts.admit(certificate(), NOW),
            lambda: hosts.revoke("h1"),
            lambda: hosts.give("h1", "o", "pause", "web", {}),
        ):
            with pytest.raises(Missing):
                call()

    def test_the_certificate_before_serves_until_the_next_one_was_seen(self, joined: Hosts) -> None:
        assert joined.renew(certificate(), certificate(serial="2")) == "text 2"
        assert joined.renew(certificate(), certificate(serial="3", key="key 2")) == "text 2"
        assert refusal(joined.renew, certificate(), certificate(serial="4")) == "superseded"
        joined.admit(certificate(), NOW)
        joined.admit(certificate(serial="2"), NOW)
        assert refusal(joined.admit, certificate(), NOW) == "superseded"

    def test_a_host_is_sighted_without_what_it_said(self, joined: Hosts) -> None:
        assert joined.sightings() == (Sighting("h1", False, None),)
        joined.admit(certificate(), NOW)
        joined.report(Report("h1", 1, 0, {"web": {"state": "replicating"}}), NOW + 1)
        joined.revoke("h1")
        assert joined.sightings() == (Sighting("h1", True, NOW + 1),)

    def test_what_has_a_result_is_forgotten_when_it_is_old(self, joined: Hosts) -> None:
        for name in ("o0", "o1"):
            joined.give("h1", name, "pause", "web", {})
        joined.exchange("h1", 0, (Result(1, "o0", True),), 9)
        assert joined.forget(NOW, 100.0) == 0
        assert joined.forget(NOW + 100, 100.0) == 0
        assert joined.forget(NOW + 101, 100.0) == 1
        assert [order.command.id for order in joined.orders()] == ["o1"]

    def test_commands_wait_in_their_order_until_they_have_a_result(self, joined: Hosts) -> None:
        given = [joined.give("h1", f"o{n}", "pause", "web", {"n": n}) for n in range(3)]
        assert [one.sequence for one in given] == [1, 2, 3]
        assert list(joined.exchange("h1", 0, (), 2)) == given[:2]
        assert list(joined.exchange("h1", 2, (), 9)) == given[2:]
        first, other = Result(1, "o0", True, 4), Result(1, "o0", False, code="late")
        joined.exchange("h1", 0, (first,), 9)
        assert list(joined.exchange("h1", 0, (other,), 9)) == given[1:]
        assert [order.result for order in joined.orders("h1")] == [first, None, None]
        assert [order.command.id for order in joined.orders(only_open=True)] == ["o1", "o2"]

    def test_an_order_given_twice_is_one_command(self, joined: Hosts) -> None:
        once = joined.give("h1", "o1", "pause", "web", {})
        assert joined.give("h1", "o1", "pause", "web", {}) == once
        assert refusal(joined.give, "h1", "o1", "resume", "web", {}) == "order-differs"

    def test_a_host_hears_nothing_of_another_and_answers_for_itself_only(self, joined: Hosts) -> None:
        joined.register(claim("h2"), certificate("h2", "2"), NOW)
        joined.give("h1", "o1", "pause", "web", {})
        assert joined.exchange("h2", 0, (Result(1, "o1", True),), 9) == ()
        assert joined.orders("h1")[0].result is None

    def test_reports_change_fields_and_one_that_is_missing_is_noticed(self, joined: Hosts) -> None:
        web = {"state": "replicating", "safe_as_of": 1}
        assert joined.report(Report("h1", 1, 0, {"web": web, "db": {"state": "off"}}), NOW) == 1
        assert joined.report(Report("h1", 2, 1, {"web": {"safe_as_of": 2}}, ("db",)), NOW + 1) == 2
        assert joined.report(Report("h1", 4, 3, {"web": {"safe_as_of": 9}}), NOW + 2) == 0
        (host,) = joined.all()
        assert host.groups == {"web": web | {"safe_as_of": 2}}
        assert (host.seen_at, host.report) == (NOW + 1, 2)
        assert joined.report(Report("h1", 1, 0, {}), NOW + 3) == 1
        assert joined.all()[0].groups == {}

    def test_what_is_known_is_read_again_only_where_it_changed(self, joined: Hosts) -> None:
        def look() -> HostState:
            return joined.all(known)[0]

        known: dict[str, HostState] = {}
        joined.report(Report("h1", 1, 0, {"web": {"n": 1}, "db": {"n": 1}}, (), {"one#web": []}), NOW)
        known["h1"] = first = look()
        assert look().groups is first.groups
        joined.report(Report("h1", 2, 1, errands={"e1": Headway(1, 2, 1.0, None)}), NOW + 1)
        assert (look().groups is first.groups, look().seen_at) == (True, NOW + 1)
        joined.report(Report("h1", 3, 2, {"web": {"n": 2}}), NOW + 2)
        second = look()
        assert second.groups == {"db": {"n": 1}, "web": {"n": 2}}
        assert second.groups["db"] is first.groups["db"]
        known["h1"] = second
        joined.report(Report("h1", 4, 3, {}, ("db",), {}), NOW + 3)
        assert (look().groups, look().machines) == ({"web": {"n": 2}}, {})
        joined.report(Report("h1", 1, 0, {"db": {"n": 3}}), NOW + 4)
        assert look().groups == {"db": {"n": 3}}, "a host that says everything anew has a number of then"
        assert joined.all() == (look(),)

    def test_the_machines_of_a_host_are_what_it_said_last(self, joined: Hosts) -> None:
        machines: dict[str, Json] = {"one#web": [{"id": "disk0", "size_bytes": 1}], "one#db": []}
        joined.report(Report("h1", 1, 0, {}, (), machines), NOW)
        joined.report(Report("h1", 2, 1, {"web": {"n": 1}}), NOW)
        assert joined.all()[0].machines == machines
        joined.report(Report("h1", 3, 2, {}, (), {}), NOW)
        assert joined.all()[0].machines == {}

    def test_a_host_that_says_too_much_changes_nothing(self, joined: Hosts) -> None:
        joined.report(Report("h1", 1, 0, {"web": {"n": 1}}), NOW)
        flood = {f"g{number}": {"x": "y" * (1 << 20)} for number in range(17)}
        assert refusal(joined.report, Report("h1", 2, 1, flood), NOW) == "too-large"
        assert joined.all()[0].groups == {"web": {"n": 1}}

    def test_many_at_one_moment_get_each_its_own_number(self, joined: Hosts) -> None:
        with ThreadPoolExecutor(8) as pool:
            given = pool.map(lambda n: joined.give("h1", f"o{n}", "pause", "web", {}).sequence, range(40))
        assert sorted(given) == list(range(1, 41))
