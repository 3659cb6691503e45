"""The official SDK in two versions and two colours, called alike: by operation, with what names it.

The older version has another package's name here, since one process has one of a name; it is installed apart.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from azure.mgmt import recoveryservicessiterecovery

NEWEST = "2.0.0"
SDKS = (NEWEST, "2.0.0 aio", "1.3.0", "1.3.0 aio")
_APART = Path(__file__).parents[3] / ".cache" / "azcli" / "lib"
_PACKAGE = "azure/mgmt/recoveryservicessiterecovery"


@dataclass(frozen=True)
class Client:
    """An SDK client that is called alike in each version: ``client("group.verb", *names)``."""

    sdk: Any
    first: tuple[str, ...] = ()

    def exactly(self, body: Mapping[str, object]) -> object:
        """Return a body so that all of it is sent: the older version drops what its classes do not know."""
        return io.BytesIO(json.dumps(body).encode()) if not self.first else body

    def __call__(self, operation: str, *names: object, **more: object) -> Any:
        group, verb = operation.split(".")
        return getattr(getattr(self.sdk, group), verb)(*self.first, *names, **more)

    def close(self) -> None:
        self.sdk.close()


@dataclass(frozen=True)
class AsyncClient(Client):
    """One that does not block, made to."""

    loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, operation: str, *names: object, **more: object) -> Any:
        found = super().__call__(operation, *names, **more)
        if hasattr(found, "__aiter__"):
            return self._wait(_listed(found))
        answer = self._wait(found) if inspect.isawaitable(found) else found
        return _Poller(answer, self._wait) if hasattr(answer, "polling_method") else answer

    def close(self) -> None:
        self._wait(self.sdk.close())
        self._wait(self.sdk._config.credential.close())
        self.loop.close()

    def _wait(self, what: Any) -> Any:
        return self.loop.run_until_complete(what)


@dataclass(frozen=True)
class _Poller:
    inner: Any
    wait: Callable[[Any], Any]

    def result(self) -> Any:
        return self.wait(self.inner.result())


def client(
    kind: str, credential: object, subscription: str, at: tuple[str, str], usual: Mapping[str, Any]
) -> Client:
    """Return a client for a vault, at resource group and name."""
    version, _, colour = kind.partition(" ")
    package = recoveryservicessiterecovery if version == NEWEST else _older(version)
    if colour:
        package = importlib.import_module(f"{package.__name__}.aio")
    # Since 2.0.0 group and vault are named by each call, before that by the client.
    made, first = ((), at) if version == NEWEST else (at, ())
    sdk = package.SiteRecoveryManagementClient(credential, subscription, *made, **usual)
    return AsyncClient(sdk, first, asyncio.new_event_loop()) if colour else Client(sdk, first)


def _older(version: str) -> ModuleType:
    name = f"siterecovery_{version.replace('.', '_')}"
    if name not in sys.modules:
        (folder,) = _APART.glob(f"python3.*/site-packages/{_PACKAGE}")
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
        assert sys.modules[name].__version__ == version
    return sys.modules[name]


async def _listed(found: Any) -> list[Any]:
    return [one async for one in found]
