from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from bascule.drivers.objects.names import LONGEST, is_name

CHARSET = string.ascii_letters + string.digits + "-_.~/"


@given(st.text(alphabet=CHARSET, max_size=40) | st.text(max_size=40))
def test_a_name_is_segments_out_of_the_charset_that_do_not_end_with_a_dot(text: str) -> None:
    segments = text.split("/")
    expected = set(text) <= set(CHARSET) and all(part and not part.endswith(".") for part in segments)
    assert is_name(text) == expected


def test_names_and_their_segments_have_a_longest_size() -> None:
    assert is_name("x" * 255)
    assert not is_name("x" * 256)
    whole = "/".join(["x" * 127] * 4)
    assert len(whole) == LONGEST - 1
    assert is_name(whole + "x")
    assert not is_name(whole + "xx")
