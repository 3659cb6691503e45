"""From a store's address to the store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from bascule.model.errors import Refused
from bascule.ports.objects import ObjectStore

from .local import LocalStore
from .names import check_name

_CURE = "name a folder (/srv/backup or file:///srv/backup), az://container/prefix or s3://bucket/prefix"
_CLOUDS = ("az", "s3")


def open_store(
    url: str, *, settings: Mapping[str, str] = os.environ, create: bool = False, direct_reads: bool = False
) -> ObjectStore:
    """Open the place that ``url`` names.

    ``settings`` holds credentials and endpoints under the names of the environment;
    a URL must not. ``create`` makes a missing folder; buckets and containers must
    exist. ``direct_reads`` sends large reads of local objects past the page cache.
    """
    scheme, colon, _ = url.partition(":")
    if url == "memory:":
        from .memory import MemoryStore

        return MemoryStore()
    if not url:
        raise Refused("the store has no address", cure=_CURE)
    if not colon or "/" in scheme:
        return LocalStore(url, create=create, direct_reads=direct_reads)
    parts = _split(url)
    if scheme == "file":
        return LocalStore(_folder(parts), create=create, direct_reads=direct_reads)
    if scheme not in _CLOUDS:
        raise Refused(f"there is no kind of store called {scheme[:20]!r}", cure=_CURE)
    if not parts.netloc:
        raise Refused(f"{url} names no bucket or container", cure=_CURE)
    # Loaded when a place needs them: a copy into a folder starts sooner without.
    if scheme == "az":
        from .azblob import open_azblob

        return open_azblob(parts.netloc, _prefix(parts), settings)
    from .s3 import open_s3

    return open_s3(parts.netloc, _prefix(parts), settings)


def is_remote(url: str) -> bool:
    """Tell whether a store lies behind a network, where what fails may succeed a moment later."""
    return url.partition(":")[0] in _CLOUDS


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        # Not repeated here: it may be a secret, and messages end up in logs.
        raise Refused(
            "the store's address holds a user, a query or a fragment",
            cure="addresses end up in logs: put credentials into the environment, e.g. AWS_SECRET_ACCESS_KEY"
            " or AZURE_STORAGE_SAS_TOKEN, and leave the plain address",
        )
    return parts


def _folder(parts: SplitResult) -> str:
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise Refused(f"file://{parts.netloc}{parts.path} names no folder of this machine", cure=_CURE)
    return unquote(parts.path)


def _prefix(parts: SplitResult) -> str:
    prefix = parts.path.strip("/")
    if not prefix:
        return ""
    check_name(prefix)
    return prefix + "/"
