"""A store, and wishes for a provider to obey."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from bascule.apps.chance import SystemClock, SystemIds
from bascule.data.store import KeyFile, Vault
from bascule.drivers.objects.local import LocalStore
from bascule.model.items import Wish
from bascule.replication.provider.folder import ItemFolder, ProviderFolder


def protect(room: Path, wishes: list[Wish]) -> list[ItemFolder]:
    """Make a store in a folder, and put down what is wanted of the provider beside it."""
    key = KeyFile.create(room / "main.key", SystemIds())
    store = LocalStore(room / "store", create=True)
    Vault.init(store, key, ids=SystemIds(), clock=SystemClock())
    store.close()
    provider = ProviderFolder(room / "provider")
    items = [provider.item(wish.group) for wish in wishes]
    for item, wish in zip(items, wishes, strict=True):
        whole = replace(wish, store=str(room / "store"), key_file=str(room / "main.key"))
        item.change(partial(_instead, whole))
    return items


def _instead(wish: Wish, _before: Wish | None) -> Wish:
    return wish
