"""How the clients of obstore are set up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.store import AzureStore, S3Store

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

Vendor = AzureStore | S3Store

# An inner retry of a create would hide an unknown outcome: see remote.py.
NO_RETRY: RetryConfig = {"max_retries": 0}
_IDLE_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for whole requests. Bulk: 16 MiB pass at 0.5 Mbit/s within five minutes."""

    connect_seconds: float = 10
    quick_seconds: float = 30
    bulk_seconds: float = 300


@dataclass(frozen=True, slots=True)
class Clients:
    """One client for small requests and one for big ones: obstore sets time-outs per client."""

    quick: Vendor
    bulk: Vendor


def make_clients(
    make: Callable[[ClientConfig], Vendor],
    patience: Patience,
    *,
    endpoint: str = "",
    certificates: bytes = b"",
) -> Clients:
    """Build both; plain HTTP is spoken only to an endpoint that was named with it."""

    def options(seconds: float) -> ClientConfig:
        config: ClientConfig = {
            "connect_timeout": timedelta(seconds=patience.connect_seconds),
            "timeout": timedelta(seconds=seconds),
            "pool_idle_timeout": timedelta(seconds=60),
            "pool_max_idle_per_host": str(_IDLE_CONNECTIONS),
            "allow_http": endpoint.startswith("http://"),
        }
        if certificates:
            config["root_certificate"] = certificates
        return config

    return Clients(make(options(patience.quick_seconds)), make(options(patience.bulk_seconds)))


def pick(settings: Mapping[str, str], table: Mapping[str, str]) -> dict[str, str]:
    """Translate the settings that ``table`` knows into the vendor's keys; the first one found wins."""
    found: dict[str, str] = {}
    for name, key in table.items():
        if settings.get(name):
            found.setdefault(key, settings[name])
    return found
