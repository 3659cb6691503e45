"""The provider's folder: who commands writes wishes, the provider writes facts, and nothing else passes.

    machines/GROUP/wish.json      what somebody wants; durable when a command returns
    machines/GROUP/facts.json     what is so; replaced as a whole, so a reader never sees half of it
    machines/GROUP/owner.json     the sessions of the group's log that are ours; durable before the session is
    machines/GROUP/after-is-owed  the command before an instant was run, the one after it was not yet
    machines/GROUP/events.jsonl   what happened, the newest 1 to 2 MiB
    machines/GROUP/room/          fleeces and sockets of the hypervisor's driver
    provider.json                 the provider's last sign of life
    lock                          held by the provider that runs

Facts need not outlive a power cut: what they say can be found out again. What cannot is in the wish, in
``owner.json`` and in the store.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from bascule.model.errors import Damaged, Missing, Refused, Unavailable
from bascule.model.health import Heartbeat
from bascule.model.items import Facts, Wish, facts_from, wish_from, written

_EVENTS_BYTES = 1 << 20


class ItemFolder:
    """What is kept of one group."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.room = path / "room"
        self.owner = path / "owner.json"
        self._lock = path / "wish.lock"
        self._wish = path / "wish.json"
        self._facts = path / "facts.json"
        self._events = path / "events.jsonl"

    @property
    def group(self) -> str:
        """Return the group's name."""
        return self.path.name

    def stamp(self) -> tuple[int, int] | None:
        """Return what differs after each change of the wish; None when there is no wish."""
        return _stamp_of(self._wish)

    def facts_stamp(self) -> tuple[int, int] | None:
        """Return what differs after each change of the facts; None when there are none."""
        return _stamp_of(self._facts)

    def wish(self) -> Wish | None:
        """Return what is wanted, None if nothing is."""
        text = _text_of(self._wish)
        return None if text is None else wish_from(text)

    def facts(self) -> Facts:
        """Return what is so; what cannot be read any more is found out anew."""
        with suppress(Damaged, Unavailable):
            text = _text_of(self._facts)
            return Facts() if text is None else facts_from(text)
        return Facts()

    def tell(self, facts: Facts) -> None:
        """Replace the facts."""
        put(self._facts, written(facts).encode(), durable=False)

    def change(self, change: Callable[[Wish | None], Wish | None]) -> Wish | None:
        """Replace the wish by what ``change`` makes of it, durably, as a new generation; None removes it.

        Two commands at one moment take turns.
        """
        with self._alone():
            before = self.wish()
            after = change(before)
            if after is None:
                with told_of(self._wish):
                    self._wish.unlink(missing_ok=True)
                    _sync(self.path)
                return None
            after = replace(after, generation=before.generation + 1 if before else after.generation)
            put(self._wish, written(after).encode(), durable=True)
            return after

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only one who changes this group, in a folder that is there, however often it is removed."""
        while True:
            with told_of(self.path):
                stream = self._opened_lock()
            if stream is None:
                continue
            with stream:
                _take(stream, self._lock, wait=True)
                if _is_at(self._lock, stream):  # else the folder was removed while we waited, and is another
                    yield
                    return

    def _opened_lock(self) -> BinaryIO | None:
        """Open the lock in a folder that is there; None if that is being removed at this moment."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._lock.open("wb")
        except FileNotFoundError:
            return None
        except FileExistsError:  # also said of a folder that went between two looks at it
            if _is_in_the_way(self.path):
                raise
            return None

    def note(self, event: Mapping[str, object]) -> None:
        """Append an event; the older half is let go of when there are too many."""
        with told_of(self._events), self._events.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event) + "\n")
            is_full = stream.tell() > _EVENTS_BYTES
        if is_full:
            self._events.replace(self._events.with_suffix(".old.jsonl"))

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events that are kept, oldest first."""
        for path in (self._events.with_suffix(".old.jsonl"), self._events):
            for line in (_text_of(path) or b"").splitlines():
                with suppress(ValueError):  # the last line of a process that was killed
                    yield json.loads(line)

    def remove(self) -> None:
        """Remove all that is kept of the group here, unless somebody wants it again by now.

        The lock goes last: who comes after that makes another one, and keeps the folder by it.
        """
        with self._alone():
            if self.stamp() is not None:
                return
            for entry in list(os.scandir(self.path)):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                elif entry.path != str(self._lock):
                    with suppress(OSError):
                        Path(entry).unlink()
            with suppress(OSError):
                self._lock.unlink()
                self.path.rmdir()


class ProviderFolder:
    """All groups of a host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._life = path / "provider.json"
        self._machines = path / "machines"

    def item(self, group: str) -> ItemFolder:
        """Return the folder of a group, there or not."""
        if not group or "/" in group or group.startswith("."):
            raise Refused(f"{group!r} is no name for a group", cure="use letters, digits, dots and dashes")
        return ItemFolder(self._machines / group)

    def existing(self, group: str) -> ItemFolder:
        """Return the folder of a group that is protected, or raise Missing."""
        item = self.item(group)
        if item.stamp() is None:
            names = ", ".join(one.group for one in self.items()) or "none"
            raise Missing(f"{group} is not protected here", cure=f"protected in {self.path}: {names}")
        return item

    def items(self) -> list[ItemFolder]:
        """Return the folders of all protected groups, sorted."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._machines))
        except OSError:
            return []
        found = (ItemFolder(self._machines / name) for name in names)
        return [item for item in found if item.stamp() is not None]

    @contextmanager
    def run(self) -> Iterator[None]:
        """Be the one provider of this folder, or raise Refused."""
        with told_of(self.path):
            self._machines.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with locked(self.path / "lock", wait=False):
                yield
        except BlockingIOError as error:
            raise Refused(
                f"a provider runs in {self.path} already", cure="one is enough; or name another folder"
            ) from error

    def beat(self, now: float) -> None:
        """Give a sign of life."""
        put(self._life, json.dumps({"seen_at": now, "process": os.getpid()}).encode(), durable=False)

    def heartbeat(self) -> Heartbeat:
        """Tell whether a provider runs, and when one was last seen."""
        text = _text_of(self._life)
        try:
            seen = None if text is None else float(json.loads(text)["seen_at"])
        except (ValueError, KeyError, TypeError):
            seen = None
        return Heartbeat(seen, is_held(self.path / "lock"))


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Turn what the system says of a path into an error that names it."""
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        raise Unavailable(
            f"cannot write {path}: {error.strerror}", cure="check its file system: room, rights"
        ) from error


_WHOLE_FILE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock that dies with its holder; BlockingIOError if it is held and we are not to wait.

    Locks of open files, not of processes: these can be looked at without being taken.
    """
    with told_of(path):
        stream = path.open("wb")
    with stream:
        _take(stream, path, wait=wait)
        yield


def _is_in_the_way(path: Path) -> bool:
    """Is something else than a folder there? Looked at once: between two looks it may go."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISDIR(mode) and not path.is_dir()


def _take(stream: BinaryIO, path: Path, *, wait: bool) -> None:
    with told_of(path):
        fcntl.fcntl(stream, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, _WHOLE_FILE)


def _is_at(path: Path, stream: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except OSError:
        return False


def is_held(path: Path) -> bool:
    """Tell whether somebody holds a lock."""
    try:
        with path.open("rb+") as stream:
            found = fcntl.fcntl(stream, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    except OSError:
        return False
    return bool(struct.unpack("hhqqi4x", found)[0] != fcntl.F_UNLCK)


def put(path: Path, data: bytes, *, durable: bool, mode: int = 0o666) -> None:
    """Replace a file as a whole; ``durable`` ones survive a power cut from here on."""
    fresh = path.with_name(f".{path.name}.new")
    with told_of(path):
        with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
            stream.write(data)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        fresh.replace(path)
        if durable:
            _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stamp_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino)


def _text_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
