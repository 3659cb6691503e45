"""Objects in a bucket or container, through obstore.

obstore is told never to retry: an inner retry of a create whose first attempt did
arrive would report Exists for our own object, and nobody could tell. Retrying is
``retry.py``, which knows what to ask the store after an unknown outcome.

What is created is copied first, unless it is immutable bytes. Measured: when a
server answers early (503 before it took the body), the connection goes on sending
from the caller's memory after the call has returned, so the caller could not reuse
it. The copy takes about 3 ms for 16 MiB, in memory that is used again.

Listings are checked on the way: an account that does not list in name order (Azure
with hierarchical namespaces) is refused, because everything above relies on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from bascule.model.errors import Exists, Missing, Refused, Unavailable
from bascule.ports.objects import ObjectInfo

from .cloud.clients import Clients, Vendor
from .cloud.copies import Copies
from .cloud.errors import Place, explain, explained, is_no_bucket, is_past_end
from .files.system import Buffer
from .names import check_name, check_prefix, is_name

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta

_BULK_FROM = 1 << 20
_PAGE = 1000
_BATCH = 256  # What Azure deletes in one request; S3 takes 1,000.


class RemoteStore:
    """The ObjectStore port on Azure Blob or S3, below ``prefix`` (empty, or ending with a slash)."""

    def __init__(self, clients: Clients, place: Place, prefix: str = "") -> None:
        self._clients = clients
        self._place = place
        self._prefix = prefix
        self._copies = Copies()

    def __repr__(self) -> str:
        return f"RemoteStore({self._place.url!r})"

    def create(self, name: str, data: Buffer) -> None:
        check_name(name)
        client = self._client(memoryview(data).nbytes)
        with explained(self._place, f"creating {name}"), self._copies.of(data) as copy:
            try:
                obstore.put(client, self._prefix + name, copy, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError) as error:
                raise self._taken(name) from error

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        check_name(name)
        view = buffer.cast("B")
        if not len(view):
            self.stat(name)
            return 0
        wanted = (offset, offset + len(view))
        with explained(self._place, f"reading {name}"):
            try:
                found = obstore.get(self._client(len(view)), self._prefix + name, options={"range": wanted})
                return self._receive(found, name, offset, view)
            except BaseError as error:
                if is_past_end(error) and self.stat(name).size <= offset:
                    return 0
                raise

    def stat(self, name: str) -> ObjectInfo:
        check_name(name)
        with explained(self._place, f"looking at {name}"):
            return self._describe(obstore.head(self._clients.quick, self._prefix + name))

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        return self._walk(prefix, after)

    def delete(self, names: Iterable[str]) -> None:
        batch = []
        for name in names:
            check_name(name)
            batch.append(self._prefix + name)
            if len(batch) == _BATCH:
                self._delete(batch)
                batch.clear()
        if batch:
            self._delete(batch)

    def close(self) -> None:
        """Nothing to do: connections close when they are idle."""

    def _client(self, size: int) -> Vendor:
        return self._clients.bulk if size > _BULK_FROM else self._clients.quick

    def _taken(self, name: str) -> Exists | Unavailable:
        """Say Exists only of an object that can be seen: S3 also answers 409 while a delete is under way."""
        try:
            self.stat(name)
        except Missing:
            return Unavailable(
                f"creating {name} in {self._place.url}: the name is busy", cure="try again shortly"
            )
        return Exists(f"there is an object {name} in {self._place.url} already")

    def _receive(self, found: GetResult, name: str, offset: int, view: memoryview) -> int:
        promised = min(len(view), found.meta["size"] - offset)
        got = 0
        for part in found.stream(min_chunk_size=_BULK_FROM):
            view[got : got + len(part)] = memoryview(part)
            got += len(part)
        if got != promised:
            said = f"reading {name} in {self._place.url}: {got} bytes came instead of {promised}"
            raise Unavailable(said, cure="the connection broke off; it is safe to try again")
        return got

    def _describe(self, meta: ObjectMeta) -> ObjectInfo:
        return ObjectInfo(meta["path"][len(self._prefix) :], meta["size"], meta["last_modified"].timestamp())

    def _walk(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        last = ""
        for info in self._pages(prefix, after):
            if info.name <= last:
                raise self._disorderly(last, info.name)
            last = info.name
            if info.name.startswith(prefix):
                if info.name > after and is_name(info.name):
                    yield info
            elif info.name > prefix:
                return

    def _pages(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        """Yield a bit more than what was asked for: obstore's prefixes are folders."""
        folder = (self._prefix + prefix).rpartition("/")[0]
        # Everything that starts with "points/g/0012" sorts after "points/g/001".
        start = max(after, prefix[:-1].rstrip("/"))
        offset = self._prefix + start if start else None
        what = f"listing {prefix or 'all'}"
        with explained(self._place, what):
            pages = iter(obstore.list(self._clients.quick, folder or None, offset=offset, chunk_size=_PAGE))
        while True:
            with explained(self._place, what):
                page = next(pages, None)
            if page is None:
                return
            yield from map(self._describe, page)

    def _delete(self, paths: Sequence[str]) -> None:
        try:
            obstore.delete(self._clients.quick, paths)
        except FileNotFoundError as error:
            if is_no_bucket(error):
                raise explain(error, self._place, "deleting") from error
            # Azure's batch reports only the first of its failures: ask for each.
            for path in paths:
                self._delete_one(path)
        except BaseError as error:
            raise explain(error, self._place, "deleting") from error

    def _delete_one(self, path: str) -> None:
        try:
            obstore.delete(self._clients.quick, path)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise explain(error, self._place, f"deleting {path}") from error

    def _disorderly(self, first: str, second: str) -> Refused:
        return Refused(
            f"{self._place.url} does not list in name order ({second} came after {first})",
            cure="use a bucket, or an Azure account without hierarchical namespaces",
        )
