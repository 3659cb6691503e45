"""What is read without a seal: the object ``format`` and key objects, whatever somebody put there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bascule.data.store import KeyFile, Passphrase, Unlocker, Vault, key_list, keys
from bascule.data.store.format.plain import PLAIN_MAX, format_text, read_format
from bascule.data.store.keys import Wrapping
from bascule.drivers.objects.memory import MemoryStore, SetClock
from bascule.model.errors import Damaged, Missing, Refused
from bascule.ports.chance import Ids
from tests.data.store.scene import KEY, SeededIds, seeds

VAULT, DATA_KEY = b"v" * 16, b"d" * 32
NAME = keys.key_prefix(VAULT) + "0123456789abcdef"


class QuickPassphrase(Passphrase):
    """A passphrase that is not stretched, so that thousands of them are tried."""

    def new_parameters(self, ids: Ids) -> dict[str, Any]:
        return super().new_parameters(ids) | {"n": 2}


def key_object(unlocker: Unlocker) -> bytes:
    return keys.wrap(unlocker, DATA_KEY, Wrapping(VAULT, "a label", 1.7e9), SeededIds(5))[1]


def unlocked(data: bytes, unlocker: Unlocker) -> bytes:
    store = MemoryStore()
    store.create(NAME, data)
    return keys.unlock(store, unlocker, VAULT)


def with_format(data: bytes) -> MemoryStore:
    store = MemoryStore()
    store.create("format", data)
    return store


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NESTED = b"[" * 60_000


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
@example(NESTED)
@example(b'{"a":' * 10_000)
@example(bytes(PLAIN_MAX + 1))
@example(b"")
@example(b"9" * 5000)
def test_a_format_object_is_right_or_damaged_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(Damaged):
        read_format(with_format(data))


@given(st.sampled_from(["format", "version", "vault"]), json_values)
def test_a_field_of_the_format_that_holds_something_else_is_never_believed(name: str, value: object) -> None:
    right = json.loads(format_text(VAULT, 0.0))
    assume(value != right[name])
    fields = right | {name: value}
    with pytest.raises((Damaged, Refused)):
        read_format(with_format(json.dumps(fields).encode()))


def test_a_newer_format_is_refused_with_its_number() -> None:
    fields = json.loads(format_text(VAULT, 0.0)) | {"version": 2}
    with pytest.raises(Refused, match="format 2; this Bascule reads format 1"):
        read_format(with_format(json.dumps(fields).encode()))
    with pytest.raises(Missing, match="no Bascule vault"):
        read_format(MemoryStore())


@pytest.mark.parametrize("unlocker", [KEY, QuickPassphrase("words")], ids=["file", "passphrase"])
def test_every_changed_bit_of_a_key_object_is_noticed_or_means_the_same(unlocker: Unlocker) -> None:
    whole = key_object(unlocker)
    assert unlocked(whole, unlocker) == DATA_KEY
    noticed = 0
    for at in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[at] ^= 1 << bit
            try:
                assert unlocked(bytes(changed), unlocker) == DATA_KEY
                assert _means(changed) == _means(whole)
            except (Damaged, Refused):
                noticed += 1
    assert noticed > 7 * len(whole)


def _means(data: bytes | bytearray) -> dict[str, Any]:
    """A key object read leniently: only the case of hexadecimal digits makes no difference."""
    fields: dict[str, Any] = json.loads(data)
    return fields | {name: fields[name].lower() for name in ("nonce", "wrapped")}


@given(
    st.sampled_from(["version", "id", "kind", "label", "created_at", "parameters", "nonce", "wrapped"]),
    json_values,
)
def test_a_field_of_a_key_object_that_holds_something_else_opens_nothing(name: str, value: object) -> None:
    right = json.loads(key_object(KEY))
    assume(value != right[name])
    fields = right | {name: value}
    with pytest.raises((Damaged, Refused)):
        unlocked(json.dumps(fields).encode(), KEY)


@given(st.sampled_from(["salt", "n", "r", "p"]), json_values)
@example("n", 1 << 40)
@example("r", 1 << 40)
@example("p", 5)
@example("n", 3)
@example("n", -2)
@example("r", 0)
def test_parameters_of_a_passphrase_that_hold_something_else_open_nothing(name: str, value: object) -> None:
    words = QuickPassphrase("words")
    fields = json.loads(key_object(words))
    assume(value != fields["parameters"][name])
    fields["parameters"][name] = value
    with pytest.raises((Damaged, Refused)):
        unlocked(json.dumps(fields).encode(), words)


@given(st.binary(max_size=200))
@example(NESTED)
def test_bytes_that_are_no_key_object_keep_nobody_out(data: bytes) -> None:
    store = MemoryStore()
    store.create(keys.key_prefix(VAULT) + "0" * 16, data)
    with pytest.raises(Damaged, match="keys/"):
        keys.unlock(store, KEY, VAULT)
    store.create(NAME, key_object(KEY))
    assert keys.unlock(store, KEY, VAULT) == DATA_KEY


def test_a_passphrase_is_the_same_however_its_accents_are_typed() -> None:
    typed, pasted = "caf\u00e9", "cafe\u0301"
    assert unlocked(key_object(QuickPassphrase(typed)), QuickPassphrase(pasted)) == DATA_KEY
    with pytest.raises(Refused, match="does not open"):
        unlocked(key_object(QuickPassphrase(typed)), QuickPassphrase("cafe"))


def _vault() -> tuple[MemoryStore, Vault]:
    store = MemoryStore()
    return store, Vault.init(store, KEY, ids=seeds(), clock=SetClock())


def test_a_damaged_key_object_is_listed_and_can_be_removed() -> None:
    store, vault = _vault()
    broken = vault.add_key(KEY, KeyFile(bytes(32)), "broken")
    store.tamper(keys.key_prefix(bytes.fromhex(vault.id)) + broken, b"rubbish")
    assert {key.id: key.kind for key in key_list(store)}[broken] == "damaged"
    (sound,) = [key.id for key in key_list(store) if key.kind == "file"]
    with pytest.raises(Refused, match="only key"):
        vault.remove_key(sound)
    vault.remove_key(broken)
    assert [key.id for key in key_list(store)] == [sound]


def test_the_last_key_object_stays_even_if_it_is_damaged() -> None:
    store, vault = _vault()
    (name,) = store.names("keys/")
    store.tamper(name, b"rubbish")
    with pytest.raises(Refused, match="only key"):
        vault.remove_key(name.rsplit("/", 1)[1])


def test_key_objects_that_changed_places_still_open_but_are_not_removed_for_one_another() -> None:
    store, vault = _vault()
    other = KeyFile(bytes(32))
    vault.add_key(KEY, other)
    one, two = store.names("keys/")
    left, right = store.content(one), store.content(two)
    store.tamper(one, right)
    store.tamper(two, left)
    for unlocker in (KEY, other):
        assert Vault.open(store, unlocker, ids=seeds(), clock=SetClock()).id == vault.id
    assert {key.kind for key in key_list(store)} == {"damaged"}
    with pytest.raises(Refused, match="only key"):
        vault.remove_key(one.rsplit("/", 1)[1])
