"""A vault's own authority."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.apps.chance import SystemIds
from bascule.drivers.pki.authority import DOOR_DAYS, FolderAuthority
from bascule.drivers.pki.credentials import HostCredentials
from bascule.model.errors import Damaged, Missing, Refused
from tests.replication.provider.scenes import HandClock

DAY = 86400.0
OWN = HostCredentials()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def authority(tmp_path: Path, clock: HandClock) -> FolderAuthority:
    return FolderAuthority.make(tmp_path / "pki", clock, SystemIds())


def test_an_authority_is_made_once_and_its_secrets_are_its_owners(
    authority: FolderAuthority, tmp_path: Path, clock: HandClock
) -> None:
    authority.door()
    again = FolderAuthority.make(tmp_path / "pki", clock, SystemIds())
    assert (again.vault, again.text) == (authority.vault, authority.text)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()}
    assert {modes["authority.key"], modes["door.key"]} == {0o600}
    with pytest.raises(Missing):
        FolderAuthority(tmp_path / "nowhere", clock, SystemIds())


def test_one_cut_short_while_it_was_made_is_made_anew(
    authority: FolderAuthority, tmp_path: Path, clock: HandClock
) -> None:
    (tmp_path / "pki" / "authority.pem").unlink()
    again = FolderAuthority.make(tmp_path / "pki", clock, SystemIds())
    assert again.vault != authority.vault
    assert again.read(again.issue(OWN.request(OWN.make_key()), "h1").text).host == "h1"


def test_key_and_certificate_of_two_authorities_are_damaged(
    authority: FolderAuthority, tmp_path: Path, clock: HandClock
) -> None:
    FolderAuthority.make(tmp_path / "other", clock, SystemIds())
    (tmp_path / "other" / "authority.key").replace(tmp_path / "pki" / "authority.key")
    with pytest.raises(Damaged, match="not of one authority"):
        FolderAuthority(tmp_path / "pki", clock, SystemIds())


def test_a_certificate_says_who_it_is_of_and_is_read_after_it_expired(
    authority: FolderAuthority, clock: HandClock
) -> None:
    made = authority.issue(OWN.request(OWN.make_key()), "h1")
    clock.time += 1000 * DAY
    assert authority.read(made.text) == made
    assert (made.vault, made.host) == (authority.vault, "h1")
    assert made.starts_at < made.renew_at < made.expires_at < clock.now()


def test_certificates_of_another_vault_and_of_the_door_are_refused(
    authority: FolderAuthority, tmp_path: Path, clock: HandClock
) -> None:
    other = FolderAuthority.make(tmp_path / "other", clock, SystemIds())
    foreign = other.issue(OWN.request(OWN.make_key()), "h1").text
    for text in (
        foreign,
        authority.door().certificate.read_text(),
        authority.text,
        "no certificate",
        foreign[:99],
    ):
        with pytest.raises(Refused):
            authority.read(text)


def test_a_request_that_its_key_did_not_sign_is_refused(authority: FolderAuthority) -> None:
    request = OWN.request(OWN.make_key())
    lines = request.splitlines()
    lines[-2] = lines[-2][:-8] + "AAAA" + lines[-2][-4:]
    for broken in ("\n".join(lines), request[:100], "", authority.text):
        with pytest.raises(Refused):
            authority.issue(broken, "h1")


def test_only_the_key_of_a_certificate_proves_it(authority: FolderAuthority) -> None:
    key = OWN.make_key()
    text = authority.issue(OWN.request(key), "h1").text
    authority.check_proof(text, b"words", OWN.sign(key, b"words"))
    for words, proof in (
        (b"others", OWN.sign(key, b"words")),
        (b"words", OWN.sign(OWN.make_key(), b"words")),
        (b"words", "?"),
    ):
        with pytest.raises(Refused) as caught:
            authority.check_proof(text, words, proof)
        assert caught.value.code == "bad-proof"


def test_the_door_renews_its_certificate_in_time_and_keeps_its_key(
    authority: FolderAuthority, clock: HandClock
) -> None:
    first = authority.door()
    key = first.key.read_bytes()
    clock.time += DOOR_DAYS * DAY / 2
    assert authority.door() == first
    clock.time += DOOR_DAYS * DAY / 5
    renewed = authority.door()
    assert renewed.expires_at > first.expires_at
    assert renewed.key.read_bytes() == key


def test_the_apis_certificate_is_for_the_names_that_are_asked_and_made_anew_for_others(
    authority: FolderAuthority,
) -> None:
    names = ("vault.example", "127.0.0.1", "::1")
    first = authority.api(names).certificate.read_bytes()
    assert authority.api(names[::-1]).certificate.read_bytes() == first
    other = authority.api(("vault.example",))
    assert other.certificate.read_bytes() != first
    assert other.certificate != authority.door().certificate
    with pytest.raises(Refused, match="cannot be the name of a server"):
        authority.api(("vält.example",))
