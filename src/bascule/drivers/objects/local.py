"""Objects as files below one folder.

Create, in this order, which is the whole durability argument:

1. a temporary file outside every name an object can have, written and fsynced,
2. the parent folders, each synced in its own parent up to the root (``files/folders.py``),
3. ``link(temporary, final)``: atomic, and fails if the name is taken; rename would overwrite,
4. unlink the temporary name,
5. fsync the folder.

A power cut before 3 leaves a temporary file, which an opening store removes once
its writer is dead (``files/claims.py``). After 3 the name, if it survives, leads to
bytes and a size that were synced in 1, so no cut shows part of an object. After 5
the name survives. Whoever is told Exists has synced the folder too: nobody acts
upon an object that a cut could still take away because its creator died between
3 and 5. Deletions are synced as well, one fsync for each folder of a batch.

Immutable files make reads simple: a cached descriptor is right as long as its file
has a name (``st_nlink``).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import structlog

from bascule.model.errors import Exists, Missing, Refused, Unavailable
from bascule.ports.objects import ObjectInfo

from .files.claims import Claim, clean_up
from .files.folders import Folders
from .files.handles import Handles, Lease
from .files.listing import NO_SUCH, look, walk
from .files.system import Buffer, System, explain, explained
from .files.writing import PAGE, Writer, is_aligned
from .names import check_name, check_prefix

_OPEN_FILES = 256
_DIRECT_READ_FROM = 256 << 10
_LINK_ATTEMPTS = 50
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}

log = structlog.get_logger(__name__)


class LocalStore:
    """The ObjectStore port on a local or mounted file system with hard links and flock.

    ``direct_reads`` sends large, page-aligned reads past the page cache: for a
    restore that reads everything once.
    """

    def __init__(
        self, root: str | Path, *, create: bool = False, direct_reads: bool = False, system: System = os
    ) -> None:
        self._path = Path(root).absolute()
        self._system = system
        self._root = _open_root(self._path, create)
        self._claim = Claim(self._root, str(self._path))
        self._folders = Folders(system, self._root)
        self._writer = Writer(system)
        self._files = Handles(self._open, system.close, _OPEN_FILES)
        self._direct_files = Handles(self._open_direct, system.close, _OPEN_FILES)
        self._direct_reads = direct_reads
        self._clean_up()

    def __repr__(self) -> str:
        return f"LocalStore({str(self._path)!r})"

    def create(self, name: str, data: Buffer) -> None:
        check_name(name)
        temporary = self._claim.next_path()
        with explained(f"writing {self._path}/{name}"), memoryview(data).cast("B") as view:
            fd = self._system.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._root)
            try:
                self._writer.write(fd, view)
                self._system.fsync(fd)
                self._link(temporary, name)
            except BaseException:
                with suppress(OSError):
                    self._system.unlink(temporary, dir_fd=self._root)
                raise
            finally:
                self._system.close(fd)

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        # No frills: a guest that reads at random waits for this. The name is checked when its file is opened.
        try:
            return self._read(name, offset, buffer.cast("B"))
        except NO_SUCH as error:
            raise self._missing(name) from error
        except OSError as error:
            raise explain(error, f"reading {self._path}/{name}") from error

    def stat(self, name: str) -> ObjectInfo:
        check_name(name)
        with explained(f"looking at {self._path}/{name}"):
            found = look(self._root, name)
        if found is None:
            raise self._missing(name)
        return found

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        return walk(self._root, str(self._path), prefix, after)

    def delete(self, names: Iterable[str]) -> None:
        folders = set()
        with explained(f"deleting in {self._path}"):
            for name in names:
                check_name(name)
                with suppress(*NO_SUCH):
                    self._system.unlink(name, dir_fd=self._root)
                    folders.add(name.rpartition("/")[0])
                self._files.drop(name)
                self._direct_files.drop(name)
            for folder in sorted(folders):
                self._folders.sync(folder)
                self._folders.prune(folder)

    def close(self) -> None:
        if self._root < 0:
            return
        for part in (self._files, self._direct_files, self._folders, self._writer, self._claim):
            part.close()
        os.close(self._root)
        self._root = -1

    def _link(self, temporary: str, name: str) -> None:
        """Give the synced file its name, durably; others may be removing its empty folder meanwhile."""
        folder, _, leaf = name.rpartition("/")
        for _ in range(_LINK_ATTEMPTS):
            try:
                with self._folders.lease(folder) as fd:
                    self._link_in(fd, temporary, leaf, name)
                    return
            except FileNotFoundError:
                self._folders.drop(folder)
        raise Unavailable(
            f"{self._path}/{name}: its folder or its temporary file is removed again and again",
            cure="stop what cleans up inside the store's folder, then try again",
        )

    def _link_in(self, folder: int, temporary: str, leaf: str, name: str) -> None:
        try:
            self._system.link(temporary, leaf, src_dir_fd=self._root, dst_dir_fd=folder)
        except FileExistsError as error:
            self._system.fsync(folder)
            raise self._taken(name) from error
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise self._no_links(error) from error
            raise
        with suppress(FileNotFoundError):
            self._system.unlink(temporary, dir_fd=self._root)
        self._system.fsync(folder)

    def _read(self, name: str, offset: int, buffer: memoryview) -> int:
        got = 0
        if self._direct_reads and len(buffer) >= _DIRECT_READ_FROM:
            got = self._read_direct(name, offset, buffer)
        if got == len(buffer):
            return got
        with self._lease(self._files, name) as fd:
            while got < len(buffer):
                count = self._system.preadv(fd, [buffer[got:] if got else buffer], offset + got)
                if not count:
                    break
                got += count
        return got

    def _read_direct(self, name: str, offset: int, buffer: memoryview) -> int:
        """Read what O_DIRECT can read of it; 0 when the buffer does not fit or the file system refuses."""
        if offset % PAGE or not is_aligned(buffer):
            return 0
        try:
            with self._lease(self._direct_files, name) as fd:
                return self._system.preadv(fd, [buffer[: len(buffer) // PAGE * PAGE]], offset)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            self._direct_reads = False
            return 0

    def _lease(self, handles: Handles, name: str) -> Lease:
        """Lease the descriptor of the file that has this name now."""
        lease = handles.lease(name)
        try:
            if self._system.fstat(lease.fd).st_nlink:
                return lease
        except OSError:
            lease.give_back()
            raise
        # Another process deleted it, and may have created it anew.
        lease.give_back()
        handles.drop(name)
        return handles.lease(name)

    def _open(self, name: str, flags: int = 0) -> int:
        check_name(name)
        fd = self._system.open(name, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=self._root)
        if stat.S_ISREG(self._system.fstat(fd).st_mode):
            return fd
        self._system.close(fd)
        raise IsADirectoryError(errno.EISDIR, "not an object", name)

    def _open_direct(self, name: str) -> int:
        return self._open(name, os.O_DIRECT)

    def _clean_up(self) -> None:
        try:
            removed = clean_up(self._root)
        except OSError as error:
            # A read-only store is still good for reading.
            log.warning("objects.clean_up_failed", store=str(self._path), reason=error.strerror)
            return
        if removed:
            log.info("objects.cleaned_up", store=str(self._path), files=removed)

    def _missing(self, name: str) -> Missing:
        return Missing(f"there is no object {name} in {self._path}")

    def _taken(self, name: str) -> Refused:
        if look(self._root, name) is None:
            cure = "an object's name cannot be the beginning of another one's path"
            return Refused(f"{self._path}/{name} is a folder", cure=cure)
        return Exists(f"there is an object {name} in {self._path} already")

    def _no_links(self, error: OSError) -> Refused:
        return Refused(
            f"{self._path} makes no hard links ({error.strerror}): create-if-absent is not safe there",
            cure="put the store on one file system that has them, such as ext4, XFS, btrfs or NFS",
        )


def _open_root(path: Path, create: bool) -> int:
    try:
        if create:
            _make(path)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError as error:
        cure = "check the path and that its disk is mounted, or initialise a store there"
        raise Missing(f"there is no folder {path}", cure=cure) from error
    except (NotADirectoryError, FileExistsError) as error:
        raise Refused(f"{path} is not a folder", cure="name a folder for the store") from error
    except OSError as error:
        raise explain(error, f"opening {path}") from error


def _make(path: Path) -> None:
    """Make a folder and its parents, each synced in its parent."""
    if path.is_dir():
        return
    _make(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
