"""A certificate that its owner brought."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.apps.chance import SystemIds
from bascule.drivers.pki.authority import FolderAuthority
from bascule.drivers.pki.owners import brought
from bascule.model.errors import BasculeError
from tests.front.api import certificates
from tests.replication.provider.scenes import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def pki(tmp_path: Path, clock: HandClock) -> Path:
    FolderAuthority.make(tmp_path / "pki", clock, SystemIds()).api(("vault.example", "10.0.0.7"))
    return tmp_path / "pki"


def test_a_pair_is_taken_with_the_names_that_it_is_for(pki: Path, clock: HandClock) -> None:
    found = brought(pki / "api.pem", pki / "api.key", clock)
    assert found.names == ("vault.example", "10.0.0.7")
    assert found.trust == pki / "api.pem"  # which ends with an authority of its own
    own = FolderAuthority(pki, clock, SystemIds()).api(found.names)
    assert found.fingerprint == own.fingerprint
    leaf = (pki / "api.pem").read_text().partition("-----END CERTIFICATE-----\n")
    (pki / "leaf.pem").write_text(leaf[0] + leaf[1])
    alone = brought(pki / "leaf.pem", pki / "api.key", clock)
    assert (alone.trust, alone.fingerprint == own.fingerprint) == (None, False)


def test_what_no_client_would_take_is_refused_with_the_cure(pki: Path, clock: HandClock) -> None:
    (pki / "text").write_text("text")
    for certificate, key, code in (
        ("api.pem", "authority.key", "bad-certificate"),
        ("text", "api.key", "bad-certificate"),
        ("api.pem", "text", "bad-certificate"),
        ("api.pem", "api.pem", "bad-certificate"),
        ("nowhere", "api.key", "unavailable"),
    ):
        with pytest.raises(BasculeError) as refusal:
            brought(pki / certificate, pki / key, clock)
        assert (refusal.value.code, bool(refusal.value.cure)) == (code, True)


def test_one_that_has_expired_is_refused(tmp_path: Path) -> None:
    certificate, key = certificates.make(tmp_path)
    late = HandClock()
    late.time = 4e9
    with pytest.raises(BasculeError, match="has expired on"):
        brought(certificate, key, late)
