"""Messages between a host and a vault: what was written is read, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.errors import BasculeError, Refused, Unavailable
from bascule.model.vault.commands import Command, Report, Result
from bascule.wire.control import messages
from bascule.wire.control.invitation import Invitation, invitation_from, invitation_written
from bascule.wire.control.messages import Exchange, Registration, Renewal
from bascule.wire.control.strict import DEPTH_MAX, parsed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)
READERS = [
    messages.registration_from,
    messages.renewal_from,
    messages.exchange_from,
    messages.report_from,
    messages.commands_from,
    messages.certificate_from,
    messages.kept_from,
    messages.error_from,
    invitation_from,
]


@given(st.text(max_size=100), st.text(max_size=500))
def test_a_registration_and_a_renewal_are_read_as_they_were_written(name: str, request: str) -> None:
    registration = Registration("h1", name, "k1", "secret", request)
    assert messages.registration_from(messages.written(registration)) == registration
    renewal = Renewal(name, request, "proof")
    assert messages.renewal_from(messages.written(renewal)) == renewal


@given(OBJECTS, st.integers(0, 1 << 53 - 1))
def test_commands_results_and_reports_are_read_as_they_were_written(
    fields: dict[str, object], number: int
) -> None:
    commands = (Command(1, "c1", "pause", "web", fields),)
    assert messages.commands_from(messages.commands_written(commands)) == commands
    results: tuple[Result, ...] = (
        Result(1, "c1", True, number, value="web/3"),
        Result(2, "c2", False, 0, "refused", "why", "cure"),
        Result(3, "c3", False, 0, "unavailable", "why", "cure", is_passing=True),
    )
    exchange = Exchange("h1", number, results)
    assert messages.exchange_from(messages.written(exchange)) == exchange
    report = Report("h1", number, 0, {"web~2": fields}, ("db",))
    assert messages.report_from(messages.written(report)) == report
    report = Report("h1", number, 0, machines={"one#web": [{"id": "disk0"}], "one#db": []})
    assert messages.report_from(messages.written(report)) == report
    text = messages.written(replace(report, machines={"one#web": []}))
    assert b"disks" not in text, "as an older host says it"
    assert messages.report_from(text).machines == {"one#web": []}


@pytest.mark.parametrize("kind", [Refused, Unavailable])
def test_errors_keep_family_code_and_cure(kind: type[BasculeError]) -> None:
    found = messages.error_from(messages.error_written(kind("why", cure="do", code="so")))
    assert (type(found), found.message, found.cure, found.code) == (kind, "why", "do", "so")


def test_a_newer_peer_may_say_more_but_not_need_more() -> None:
    said = json.loads(messages.kept_written(7))
    assert messages.kept_from(json.dumps(said | {"version": 9, "news": [1]}).encode()) == 7
    with pytest.raises(Refused, match="needs version 2") as caught:
        messages.kept_from(json.dumps(said | {"version": 9, "needs": 2}).encode())
    assert caught.value.code == "too-new"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nul",
        '{"needs": 1, "number": NaN}',
        '{"needs": 1, "number": -1}',
        '{"needs": 1, "number": true}',
        '{"needs": 1, "number": 1.5}',
        '{"needs": 1, "number": "1"}',
        '{"needs": 1, "number": 1, "number": 2}',
        '{"needs": 1, "number": ' + "9" * 5000 + "}",
        '{"needs": 1, "number": 1, "deep": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"needs": 1}',
        '{"number": 1}',
        '\ud800{"needs": 1, "number": 1}',
    ],
)
def test_what_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        messages.kept_from(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200) | OBJECTS.map(lambda found: json.dumps(found | {"needs": 1}).encode()))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for reader in READERS:
        try:
            reader(data)
        except Refused:
            continue


def test_depth_counts_signs_outside_of_texts_only() -> None:
    assert parsed(json.dumps({"a": "[{" * 50 + '\\"['}).encode(), 1000).text("a").startswith("[{")
    deep = '{"a":' * (DEPTH_MAX + 1) + "1" + "}" * (DEPTH_MAX + 1)
    with pytest.raises(Refused, match="nested deeper"):
        parsed(deep.encode(), 1000)


def test_a_text_that_never_ends_is_looked_at_once() -> None:
    """Looked at anew from each quote, these 4 MiB would take hours and the test its time-out."""
    with pytest.raises(Refused):
        parsed(b'{"a":"' + b'\\"' * (2 << 20), 8 << 20)


def test_too_many_bytes_are_refused_unread() -> None:
    with pytest.raises(Refused) as caught:
        messages.registration_from(b" " * (messages.STRANGER_BYTES + 1))
    assert caught.value.code == "too-large"


def test_a_registration_key_is_read_as_it_was_written_and_shows_no_secret() -> None:
    made = Invitation("v1", ("vault:9444", "[::1]:1"), "PEM", "k1", "hidden", 1_800_000_000)
    assert invitation_from(invitation_written(made)) == made
    assert "hidden" not in repr(made)
    for broken in (b"{}", invitation_written(made)[:-3], invitation_written(made).replace(b":9444", b"")):
        with pytest.raises(Refused):
            invitation_from(broken)
