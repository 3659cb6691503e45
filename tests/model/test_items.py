from __future__ import annotations

import pytest

from bascule.model.items import name_of


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("/run/vm/web.qmp", "web"),
        ("/srv/host#web", "web"),
        ("/srv/host#web.example", "web.example"),
        ("libvirt:///system#web", "web"),
        ("libvirt+unix:///system?socket=/run/a%20b#web", "web"),
        ("fake:web?disks=2&mib=8", "web"),
    ],
)
def test_a_machine_is_called_as_its_words_end(words: str, name: str) -> None:
    assert name_of(words) == name
