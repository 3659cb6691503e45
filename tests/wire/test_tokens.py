"""Tokens: ours are read, and whatever is not exactly ours is refused."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.errors import Refused
from bascule.wire.tokens import read, sign

KEY = bytes(range(32))
CLAIMS: dict[str, str | int] = {"iss": "us", "aud": "us", "sub": "anna", "nbf": 1000, "exp": 2000}


def said(token: str, now: float = 1500.0, key: bytes = KEY) -> dict[str, str]:
    return dict(read(token, key, issuer="us", audience="us", now=now))


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_says_what_was_signed() -> None:
    assert said(sign(CLAIMS, KEY)) == {"iss": "us", "aud": "us", "sub": "anna"}


@pytest.mark.parametrize(
    ("claims", "now", "code"),
    [
        ({}, 2000.0, "expired-token"),
        ({}, 990.0, "invalid-token"),
        ({"aud": "others"}, 1500.0, "invalid-token"),
        ({"iss": "others"}, 1500.0, "invalid-token"),
        ({"exp": "never"}, 1500.0, "invalid-token"),
    ],
)
def test_a_token_of_another_time_or_for_others_is_refused(
    claims: dict[str, str | int], now: float, code: str
) -> None:
    with pytest.raises(Refused) as refusal:
        said(sign(CLAIMS | claims, KEY), now)
    assert refusal.value.code == code


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "none", "typ": "JWT"}, {"alg": "RS256"}, {}])
def test_a_token_with_another_header_is_refused(header: dict[str, str]) -> None:
    signature = sign(CLAIMS, KEY).rpartition(".")[2]
    for end in ("", signature):
        with pytest.raises(Refused):
            said(f"{part(header)}.{part(CLAIMS)}.{end}")


def test_a_token_of_another_key_is_refused() -> None:
    with pytest.raises(Refused):
        said(sign(CLAIMS, bytes(32)))


@pytest.mark.slow
@given(st.data())
def test_a_token_with_one_character_changed_is_refused(data: st.DataObject) -> None:
    token = sign(CLAIMS, KEY)
    place = data.draw(st.integers(0, len(token) - 2))  # the last one has bits that say nothing
    other = data.draw(st.characters(codec="latin-1").filter(lambda one: one != token[place]))
    with pytest.raises(Refused):
        said(token[:place] + other + token[place + 1 :])


@given(st.text(max_size=200))
def test_whatever_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        said(text)
