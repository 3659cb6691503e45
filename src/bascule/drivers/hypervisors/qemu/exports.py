"""What a running QEMU serves over NBD for us: frozen disks, on a socket in our folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bascule.model.errors import Unavailable

from .monitor import Json, Monitor, QemuRefused


def socket_in(folder: Path) -> Path:
    """Return where QEMU serves what is frozen."""
    return folder / "nbd"


def serve_in(monitor: Monitor, folder: Path) -> None:
    """Have QEMU serve its exports on a socket in ``folder``; a server that is there already is ours.

    One that serves nothing is ended first: the machine was replicated from another folder before.
    """
    path = socket_in(folder)
    address: Mapping[str, object] = {"type": "unix", "data": {"path": str(path)}}
    try:
        monitor.execute("nbd-server-start", addr=address)
    except QemuRefused as error:
        if not path.is_socket() and not _served_anew(monitor, address):
            raise Unavailable(
                f"QEMU does not serve NBD at {path}: {error.message}",
                cure="if it serves exports of somebody else, end that; else see whether it may write there",
            ) from error
    path.chmod(0o600)


def _served_anew(monitor: Monitor, address: Mapping[str, object]) -> bool:
    if monitor.execute("query-block-exports"):
        return False
    try:
        monitor.execute("nbd-server-stop")
        monitor.execute("nbd-server-start", addr=address)
    except QemuRefused:
        return False
    return True


def begin_export(monitor: Monitor, export: str, node: str, changes: tuple[str, str] | None) -> None:
    """Serve a node, and with it what a bitmap (its node and name) says has changed."""
    shown = {} if changes is None else {"bitmaps": [{"node": changes[0], "name": changes[1]}]}
    monitor.execute(
        "block-export-add", type="nbd", id=export, node_name=node, name=export, writable=False, **shown
    )


def end_export(monitor: Monitor, export: str) -> None:
    """Take an export away and wait until it is gone, or raise QemuRefused if there is none."""
    take_away(monitor, export)
    await_end(monitor, export)


def take_away(monitor: Monitor, export: str) -> None:
    """Take an export away; it is gone when its connections are, or raise QemuRefused if there is none."""
    monitor.execute("block-export-del", id=export, mode="hard")


def await_end(monitor: Monitor, export: str) -> None:
    """Wait until an export that was taken away is gone."""
    monitor.wait_for("BLOCK_EXPORT_DELETED", lambda data: _is_of(data, export))


def _is_of(data: Json, export: str) -> bool:
    return bool(data.get("id") == export)


def words_of(folder: Path, export: str, **options: str) -> str:
    """Return the words by which an export is opened; options that are empty are left out."""
    words = [f"{name}={value}" for name, value in options.items() if value]
    return "&".join([f"nbd+unix:///{export}?socket={socket_in(folder)}", *words])
