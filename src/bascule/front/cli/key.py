"""``bascule key``: who can open a store."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from .printing.documents import keys_document
from .printing.screen import Screen
from .printing.tables import table
from .words.options import Json, KeyFilePath, PassphrasePath, Store, tools_of
from .words.quantities import moment_text
from .words.unlocking import KeyOptions, asked, given, opened

app = typer.Typer(
    name="key",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Say who can open a store: key files and passphrases.",
)

Label = Annotated[str, typer.Option("--label", help="What the list of keys shows.", show_default=False)]


@app.command()
def create(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The key file to make.", show_default=False)],
    is_json: Json = False,
) -> None:
    """Make a new key file.

    Whoever has the file opens every store that it was added to, and without any key nobody ever does:
    keep a copy in another place than the store.

    \b
    Example:
      bascule key create /etc/bascule/main.key
      bascule store init /srv/points --key-file /etc/bascule/main.key
    """
    from bascule.data.store import KeyFile

    made = KeyFile.create(file, tools_of(context).ids)
    Screen(is_json=is_json).show(
        {"file": str(file), "fingerprint": made.fingerprint},
        [f"Made key file {file}, fingerprint {made.fingerprint}. Keep a copy of it in another place."],
    )


@app.command("ls")
def list_keys(context: typer.Context, store: Store, is_json: Json = False) -> None:
    """List the keys that open a store. Needs no key.

    \b
    Example:
      bascule key ls /srv/points
    """
    from bascule.data.store import key_list

    with closing(tools_of(context).open_store(store)) as objects:
        keys = key_list(objects)
    rows = [(key.id, key.kind, key.fingerprint, moment_text(key.created_at), key.label) for key in keys]
    Screen(is_json=is_json).show(
        {"keys": keys_document(keys)}, table(("ID", "KIND", "FINGERPRINT", "CREATED", "LABEL"), rows)
    )


@app.command()
def add(
    context: typer.Context,
    *,
    store: Store,
    new_key_file: Annotated[
        Path | None,
        typer.Option(
            "--new-key-file", metavar="FILE", help="The key file to let in; must exist.", show_default=False
        ),
    ] = None,
    new_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--new-passphrase-file",
            metavar="FILE",
            help="A file with the passphrase to let in.",
            show_default=False,
        ),
    ] = None,
    label: Label = "",
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Let another key open a store. No data is rewritten.

    Without --new-key-file and --new-passphrase-file a new passphrase is asked for.

    \b
    Examples:
      bascule key create second.key
      bascule key add /srv/points --new-key-file second.key --label safe
      bascule key add /srv/points --key-file second.key      # asks for a passphrase
    """
    tools = tools_of(context)
    with opened(tools, store, KeyOptions(key_file, passphrase_file)) as (vault, held):
        new = given({}, KeyOptions(new_key_file, new_passphrase_file)) or asked("New passphrase", twice=True)
        key_id = vault.add_key(held, new, label)
    Screen(is_json=is_json).show(
        {"id": key_id, "kind": new.kind, "label": label}, [f"Added key {key_id} ({new.kind})."]
    )


@app.command()
def remove(
    context: typer.Context,
    store: Store,
    key_id: Annotated[
        str, typer.Argument(metavar="ID", help="As `bascule key ls` shows it.", show_default=False)
    ],
    key_file: KeyFilePath = None,
    passphrase_file: PassphrasePath = None,
    is_json: Json = False,
) -> None:
    """Take a key away from a store. The last key stays.

    This stops nobody who opened the store before and kept its data key, or has a copy of the key object.

    \b
    Example:
      bascule key remove /srv/points 5f0c0e7a9d1b2c3d
    """
    with opened(tools_of(context), store, KeyOptions(key_file, passphrase_file)) as (vault, _):
        vault.remove_key(key_id)
    Screen(is_json=is_json).show({"removed": key_id}, [f"Removed key {key_id}."])
