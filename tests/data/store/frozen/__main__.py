"""Make the vault of format 1 that later code must still read: ``python -m tests.data.store.frozen``.

It was made once and stays as it is. When the format gets a new version, that version gets a vault
of its own beside it, and this one goes on being read.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bascule.data.store import BLOCK, DiskKey, GroupWriter, KeyFile, Passphrase, Tuning, Vault
from bascule.data.store.parts import PartKey
from bascule.drivers.objects.memory import MemoryStore, SetClock
from bascule.model.errors import Unavailable
from tests.data.store.scene import KEY, TINY, Scene, SeededIds, block_of

HERE = Path(__file__).parent
VAULT, KEY_FILE, EXPECTED = HERE / "format-1.tar", HERE / "format-1.key", HERE / "format-1.json"
WORDS = "a bascule is a bridge that öpens"
HOUR = 3600
A, B, DB = DiskKey("web", "a"), DiskKey("web", "b"), DiskKey("db", "system")


class KeyBytes:
    """Chance that yields the tests' key file."""

    def random(self, count: int) -> bytes:
        return bytes(range(count))


def story() -> tuple[MemoryStore, dict[str, Scene]]:
    """Write a history in which every kind of object and every shape of a map occurs."""
    store = MemoryStore(SetClock())
    vault = Vault.init(store, KEY, ids=SeededIds(2024), clock=store.clock, label="the key file")
    vault.add_key(KEY, Passphrase(WORDS), "what we say aloud")
    shop = _scene(vault, {A: 40 * BLOCK + 100, B: 6 * BLOCK, DB: 9 * BLOCK + 4096})
    _first_session(shop, vault)
    _second_session(shop, vault)
    orphan = _orphan(shop, vault)
    gateways = _gateways(vault)
    _upkeep(shop, vault)
    _third_session(shop, vault)
    vault.point("shop", shop.listed("shop")[1], purpose="an overlay", durable=True)
    vault.lock("shop", shop.listed("shop")[0], 4_000_000_000)
    return store, {"shop": shop, "shop~orphan-1": orphan, "gateways": gateways}


def _scene(vault: Vault, disks: dict[DiskKey, int]) -> Scene:
    scene = Scene(vault.objects, disks=disks, now={disk: bytearray(size) for disk, size in disks.items()})
    scene.vault = vault
    return scene


def _points(scene: Scene, writer: GroupWriter, count: int) -> None:
    first = len(scene.points)
    for i in range(first, first + count):
        scene.clock.time += HOUR
        change = {i % 40: i + 1, i * 5 % 40: i + 100, i * 7 % 40: 0 if i % 4 == 0 else i + 50}
        scene.point(writer, {A: change, DB: {i % 9: i + 300}})


def _first_session(shop: Scene, vault: Vault) -> None:
    with vault.begin("shop", writer="first session", tuning=TINY) as writer:
        everything = {i: i + 1000 for i in range(40)}
        shop.point(writer, {A: everything, B: {0: 7, 5: 8}, DB: {9: 9}})
        _points(shop, writer, 7)


def _second_session(shop: Scene, vault: Vault) -> None:
    """Disks grow and shrink, and small points ride whole in their entries."""
    with vault.begin("shop", writer="second session", tuning=TINY) as writer:
        shop.resize(B, 3 * BLOCK + 77)
        _points(shop, writer, 2)
        shop.resize(B, 8 * BLOCK)
        _points(shop, writer, 5)
    with vault.begin("shop", writer="with the usual tuning", tuning=Tuning(upload_threads=1)) as writer:
        _points(shop, writer, 2)


def _third_session(shop: Scene, vault: Vault) -> None:
    """Points over what was compacted, and data that a session stored and did not live to publish."""
    with vault.begin("shop", writer="third session", tuning=replace(TINY, inline_bytes=0)) as writer:
        _points(shop, writer, 3)
        shop.objects.fail("create", prefix="points/")
        with suppress(Unavailable):
            shop.point(writer, {A: {0: 4711}})


def _orphan(shop: Scene, vault: Vault) -> Scene:
    base = max(shop.points)
    scene = _scene(vault, dict(shop.disks))
    scene.now = {disk: bytearray(content) for disk, content in shop.now.items()}
    with vault.branch(("shop", base), "shop~orphan-1", writer="came back", tuning=TINY) as writer:
        scene.point(writer, {A: {1: 5001, 2: 0}})
        scene.point(writer, {A: {3: 5003}, DB: {0: 5004}})
    return scene


def _gateways(vault: Vault) -> Scene:
    """A point that a gateway brought the data of, and a part that nobody has taken in yet."""
    scene = _scene(vault, {A: 4 * BLOCK})
    (machine,) = scene.machines()
    gateway = vault.gateway("gw")
    with vault.begin("gateways", writer="the owner", tuning=TINY) as writer:
        for cut in (1, 2):
            part = gateway.part(PartKey("gateways", writer.session, cut), machine)
            lane = part.lane()
            lane.write(A, cut * BLOCK, block_of(600 + cut))
            lane.close()
            part.publish(vault.clock.now())
            if cut == 1:
                scene.now[A][BLOCK : 2 * BLOCK] = block_of(601)
                info = writer.collect(cut, ["web"], consistency="application").publish()
                scene.points[info.number] = {A: bytes(scene.now[A])}
    gateway.close()
    return scene


def _upkeep(shop: Scene, vault: Vault) -> None:
    with vault.upkeep(writer="upkeep") as upkeep:
        upkeep.remove("shop", [n for n in shop.listed("shop")[:-1] if n % 3])
        upkeep.sweep()
        upkeep.compact()
    shop.points = {n: shop.points[n] for n in shop.listed("shop")}


def described(vault: Vault, scenes: dict[str, Scene]) -> dict[str, object]:
    """Return what the vault must show: each point's facts, and the digest of each of its disks."""
    return {
        group: {
            str(info.number): {
                "captured_at": info.captured_at,
                "consistency": info.consistency,
                "complete": info.complete,
                "locked_until": info.locked_until,
                "disks": {
                    "/".join(disk): [len(content), hashlib.sha256(content).hexdigest()]
                    for disk, content in scenes[group].points[info.number].items()
                },
            }
            for info in vault.points(group)
        }
        for group in sorted(scenes)
    }


def pack(store: MemoryStore) -> bytes:
    """Return a store as a folder in a tar archive, each object with the store's time."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info in store.list(""):
            member = tarfile.TarInfo(info.name)
            member.size, member.mtime, member.mode = info.size, int(info.modified), 0o600
            tar.addfile(member, io.BytesIO(store.content(info.name)))
    return packed.getvalue()


def main() -> None:
    if VAULT.exists():
        raise SystemExit(f"{VAULT.name} is there, and is never made again: a new format gets a new name")
    store, scenes = story()
    VAULT.write_bytes(pack(store))
    KeyFile.create(KEY_FILE, KeyBytes())
    expected = described(next(iter(scenes.values())).vault, scenes)
    EXPECTED.write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
