"""Azure Blob Storage: settings come from the environment's names, never from a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from obstore.exceptions import BaseError
from obstore.store import AzureStore

from bascule.model.errors import Refused

from .cloud.clients import NO_RETRY, Patience, make_clients, pick
from .cloud.errors import Place
from .remote import RemoteStore

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig

_ACCESS = (
    "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY,"
    " AZURE_STORAGE_SAS_TOKEN or an identity that may read, write, list and delete blobs"
)
_KEYS = {
    "AZURE_STORAGE_ACCOUNT_NAME": "account_name",
    "AZURE_STORAGE_ACCOUNT": "account_name",
    "AZURE_STORAGE_ACCOUNT_KEY": "account_key",
    "AZURE_STORAGE_KEY": "account_key",
    "AZURE_STORAGE_SAS_TOKEN": "sas_key",
    "AZURE_STORAGE_ENDPOINT": "endpoint",
}
_CONNECTION_KEYS = {
    "AccountName": "account_name",
    "AccountKey": "account_key",
    "SharedAccessSignature": "sas_key",
    "BlobEndpoint": "endpoint",
}


def open_azblob(
    container: str, prefix: str, settings: Mapping[str, str], patience: Patience | None = None
) -> RemoteStore:
    """Open a container, which must exist. What ``settings`` lacks, obstore looks for in the environment."""
    place = Place(
        url=f"az://{container}/{prefix}".rstrip("/"),
        make_it=f"create the container first, e.g. az storage container create --name {container}",
        get_access=_ACCESS,
    )
    config = pick(settings, _KEYS)
    if not config:
        config = pick(_connection(settings.get("AZURE_STORAGE_CONNECTION_STRING", "")), _CONNECTION_KEYS)

    def make(options: ClientConfig) -> AzureStore:
        return AzureStore(
            container, config=cast("AzureConfig", config), client_options=options, retry_config=NO_RETRY
        )

    try:
        clients = make_clients(make, patience or Patience(), endpoint=config.get("endpoint", ""))
    except BaseError as error:
        said = str(error).partition("\n")[0].rpartition("error: ")[2]
        raise Refused(f"opening {place.url}: {said}", cure=_ACCESS) from error
    return RemoteStore(clients, place, prefix)


def _connection(text: str) -> dict[str, str]:
    """Take a connection string apart; values may hold equals signs."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {key.strip(): value.strip() for key, _, value in pairs if value}
