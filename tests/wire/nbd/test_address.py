from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.errors import Refused
from bascule.wire.nbd.address import Address

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("nbd://host", Address("host", 10809)),
        ("nbd://host/", Address("host", 10809)),
        ("nbd://host:99/disk", Address("host", 99, export="disk")),
        ("nbd+tcp://host/a/b", Address("host", export="a/b")),
        ("nbds://host/x", Address("host", export="x", tls=True)),
        ("nbd://[::1]:5/x", Address("::1", 5, export="x")),
        ("nbd+unix:///?socket=/run/s", Address(path="/run/s")),
        ("nbd+unix:///disk%200?socket=/run/a%20b", Address(path="/run/a b", export="disk 0")),
        ("nbds+unix:///?socket=/s", Address(path="/s", tls=True)),
    ],
)
def test_an_address_is_read(uri: str, address: Address) -> None:
    assert Address.parse(uri) == address


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "host",
        "http://host/x",
        "nbd:/x",
        "nbd://",
        "nbd://host:99999",
        "nbd://host:port",
        "nbd://host?socket=/s",
        "nbd+unix:///x",
        "nbd+unix:///x?socket=",
        "nbd+unix://host/x?socket=/s",
        "nbd+vsock://1",
        "nbd://host/x#y",
        "nbd://[::1/x",
    ],
)
def test_what_is_no_address_is_refused_with_the_forms_that_are(uri: str) -> None:
    with pytest.raises(Refused, match=r"nbd\+unix"):
        Address.parse(uri)


@given(TEXT, TEXT.filter(bool), st.booleans())
def test_an_address_survives_being_written_down(export: str, path: str, tls: bool) -> None:
    for address in (Address(path=path, export=export, tls=tls), Address("h", 7, export=export, tls=tls)):
        assert Address.parse(str(address)) == address
