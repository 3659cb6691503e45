"""How a command comes to its key: from a file, the environment or the keyboard; never from the command line.

An option beats the environment, and a person is asked only if neither names a key.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bascule.front.cli.tools import Tools
from bascule.model.errors import Refused

if TYPE_CHECKING:
    from bascule.data.store import Unlocker, Vault

_HOW = "name it: --key-file FILE or BASCULE_KEY_FILE, --passphrase-file FILE or BASCULE_PASSPHRASE"


class KeyOptions(NamedTuple):
    """What a command line says about keys."""

    key_file: Path | None = None
    passphrase_file: Path | None = None


@contextmanager
def opened(
    tools: Tools, place: str, keys: KeyOptions, *, direct_reads: bool = False
) -> Iterator[tuple[Vault, Unlocker]]:
    """Open the vault in a store, and close the store in the end; yields the key that opened it too."""
    from bascule.data.store import Passphrase, Vault, key_list

    with closing(tools.open_store(place, direct_reads=direct_reads)) as objects:
        unlocker = given(tools.settings, keys)
        if unlocker is None:
            # Looked at before anybody is asked for a passphrase that could not open it.
            if all(key.kind != Passphrase.kind for key in key_list(objects)):
                raise Refused(f"no key for {place} was named", cure=_HOW, code="no-key")
            unlocker = asked(f"Passphrase of {place}")
        yield Vault.open(objects, unlocker, ids=tools.ids, clock=tools.clock), unlocker


def given(settings: Mapping[str, str], keys: KeyOptions) -> Unlocker | None:
    """Return the key that options name, or else the environment; None if neither does."""
    from bascule.data.store import KeyFile, Passphrase

    if keys.key_file and keys.passphrase_file:
        raise Refused("both a key file and a passphrase file are named", cure="name the one to use")
    if keys.key_file:
        return KeyFile.read(keys.key_file)
    if keys.passphrase_file:
        return Passphrase(_first_line(keys.passphrase_file))
    if path := settings.get("BASCULE_KEY_FILE"):
        return KeyFile.read(Path(path))
    if text := settings.get("BASCULE_PASSPHRASE"):
        return Passphrase(text)
    return None


def asked(question: str, *, twice: bool = False) -> Unlocker:
    """Ask for a passphrase on the terminal, or raise Refused where there is none."""
    if not sys.stdin.isatty():
        raise Refused("no key was named, and there is no terminal to ask on", cure=_HOW, code="no-key")
    from getpass import getpass

    from bascule.data.store import Passphrase

    text = getpass(f"{question}: ")
    if twice and getpass("Once more: ") != text:
        raise Refused("the two are not the same", cure="start again")
    return Passphrase(text)


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as stream:
            return stream.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"cannot read the passphrase file {path}: {error}", cure="check the path") from error
