"""A vault that an earlier Bascule wrote is read byte by byte, verified, and written on."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from bascule.data.store import BLOCK, DiskKey, DiskSpec, KeyFile, MachineSpec, Passphrase, Vault
from bascule.data.store.keys import Unlocker
from bascule.drivers.objects.local import LocalStore
from bascule.drivers.objects.memory import SetClock
from bascule.model.errors import Refused
from tests.data.store.frozen.__main__ import EXPECTED, KEY_FILE, VAULT, WORDS, described, story
from tests.data.store.scene import TINY, SeededIds, block_of, by_batches, disk_content

# After everything in it happened, and before the lock on its oldest point ends.
LATER = 1_800_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with tarfile.open(VAULT) as tar:
        tar.extractall(tmp_path / "vault", filter="data")
    return tmp_path / "vault"


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., Vault]]:
    """Open the vault, until the test is over."""
    with ExitStack() as stores:

        def open_it(unlocker: Unlocker | None = None) -> Vault:
            objects = stores.enter_context(closing(LocalStore(folder)))
            key = unlocker or KeyFile.read(KEY_FILE)
            return Vault.open(objects, key, ids=SeededIds(7), clock=SetClock(LATER))

        yield open_it


def expected() -> dict[str, Any]:
    return json.loads(EXPECTED.read_text())


def shown(vault: Vault) -> dict[str, Any]:
    """What the vault holds, in the words of the file beside it, read in both ways there are."""
    found: dict[str, Any] = {}
    for group in vault.groups():
        for info in vault.points(group):
            disks = {}
            with vault.point(group, info.number) as point:
                for disk in point.disks():
                    content = disk_content(point, disk)
                    assert by_batches(point, disk) == content
                    disks["/".join(disk)] = [len(content), hashlib.sha256(content).hexdigest()]
            found.setdefault(group, {})[str(info.number)] = {
                "captured_at": info.captured_at,
                "consistency": info.consistency,
                "complete": info.complete,
                "locked_until": info.locked_until,
                "disks": disks,
            }
    return found


@pytest.mark.slow
@pytest.mark.parametrize("unlocker", [None, Passphrase(WORDS)], ids=["key file", "passphrase"])
def test_a_vault_of_format_1_opens_with_each_of_its_keys_and_every_byte_of_it_is_right(
    opened: Callable[..., Vault], unlocker: Passphrase | None
) -> None:
    vault = opened(unlocker)
    assert [(key.kind, key.label) for key in sorted(vault.keys(), key=lambda key: key.kind)] == [
        ("file", "the key file"),
        ("passphrase", "what we say aloud"),
    ]
    assert shown(vault) == expected()


def test_a_vault_of_format_1_has_nothing_that_verification_finds(opened: Callable[..., Vault]) -> None:
    assert list(opened().verify(full=True)) == []


def test_a_vault_of_format_1_is_written_thinned_swept_and_compacted_by_the_code_of_today(
    folder: Path, opened: Callable[..., Vault]
) -> None:
    vault, before = opened(), expected()
    disk = DiskKey("web", "a")
    size = next(reversed(before["shop"].values()))["disks"]["web/a"][0]
    machine = MachineSpec("web", "WEB", (DiskSpec("a", size),))
    with vault.begin("shop", writer="today", tuning=TINY) as writer:
        leftover = [frame.offset for frame in writer.durable(disk)]
        with vault.point("shop") as point:
            content = bytearray(disk_content(point, disk))
        with writer.cut([machine]) as cut:
            lane = cut.lane()
            lane.write(disk, 20 * BLOCK, block_of(1999))
            lane.close()
            new = cut.publish().number
    content[20 * BLOCK : 21 * BLOCK] = block_of(1999)
    with vault.upkeep(writer="today") as upkeep:
        oldest, pinned, *others = (int(number) for number in before["shop"])
        with pytest.raises(Refused, match="locked"):
            upkeep.remove("shop", [oldest])
        upkeep.remove("shop", [pinned, *others])
        upkeep.sweep()
        upkeep.compact()
        upkeep.sweep()
    assert leftover == [0]
    assert [info.number for info in vault.points("shop")] == [oldest, new]
    after = shown(vault)
    digest = hashlib.sha256(content).hexdigest()
    assert after["shop"].pop(str(new))["disks"] == {"web/a": [size, digest]}
    assert after == before | {"shop": {str(oldest): before["shop"][str(oldest)]}}
    (pin,) = (folder / "pins/shop" / str(pinned)).iterdir()
    with vault.reopen("shop", pinned, pin.name) as point:
        found = {"/".join(d): hashlib.sha256(disk_content(point, d)).hexdigest() for d in point.disks()}
    assert found == {d: digest for d, (_, digest) in before["shop"][str(pinned)]["disks"].items()}
    assert list(vault.verify(full=True)) == []


def test_the_vault_of_format_1_has_every_kind_of_object_and_every_shape_of_a_map(
    folder: Path, opened: Callable[..., Vault]
) -> None:
    """What is not in it is not protected by it."""
    vault = opened()
    kinds = {path.name for path in folder.iterdir()} - {"+incoming"}
    assert kinds == {"format", "keys", "points", "segments", "moved", "parts", "pins", "locks", "upkeep"}
    assert (folder / "segments/~upkeep").is_dir()
    log = vault.log("shop")
    entries = [log.read(number).entry for number in log.numbers()]
    disks = [disk for entry in entries for machine in entry.machines for disk in machine.disks]
    state = vault.upkeep_state()
    assert state is not None
    assert state.removed
    assert sum(entry.kind == "fence" for entry in entries) == 4
    assert any(len(disk.layers) >= 2 for disk in disks)
    assert any(disk.layers and disk.inline for disk in disks)
    assert any(disk.inline and not disk.inline.flags & 1 for disk in disks)
    assert vault.log("shop~orphan-1").read(0).entry.base is not None
    assert VAULT.stat().st_size < 150_000


def test_the_story_that_made_it_can_still_be_told() -> None:
    """So that a format to come gets a vault as rich as this one."""
    _, scenes = story()
    told = described(next(iter(scenes.values())).vault, scenes)
    assert told == expected()
