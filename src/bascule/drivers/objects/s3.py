"""S3 and what speaks like it: settings come from the environment's names, never from a URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from obstore.exceptions import BaseError
from obstore.store import S3Store

from bascule.model.errors import Refused

from .cloud.clients import NO_RETRY, Patience, make_clients, pick
from .cloud.errors import Place
from .remote import RemoteStore

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

_ACCESS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN) of a user who may get, put,"
    " list and delete there, AWS_REGION, and AWS_ENDPOINT_URL if it is not Amazon"
)
_KEYS = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
    "AWS_REGION": "region",
    "AWS_DEFAULT_REGION": "region",
    "AWS_ENDPOINT_URL_S3": "endpoint",
    "AWS_ENDPOINT_URL": "endpoint",
}


def open_s3(
    bucket: str, prefix: str, settings: Mapping[str, str], patience: Patience | None = None
) -> RemoteStore:
    """Open a bucket, which must exist. What ``settings`` lacks, obstore looks for in the environment."""
    place = Place(
        url=f"s3://{bucket}/{prefix}".rstrip("/"),
        make_it=f"create the bucket first, e.g. aws s3 mb s3://{bucket}",
        get_access=_ACCESS,
    )
    config = pick(settings, _KEYS)

    def make(options: ClientConfig) -> S3Store:
        return S3Store(bucket, config=cast("S3Config", config), client_options=options, retry_config=NO_RETRY)

    certificates = _certificates(settings.get("AWS_CA_BUNDLE", ""))
    try:
        clients = make_clients(
            make, patience or Patience(), endpoint=config.get("endpoint", ""), certificates=certificates
        )
    except BaseError as error:
        said = str(error).partition("\n")[0].rpartition("error: ")[2]
        raise Refused(f"opening {place.url}: {said}", cure=_ACCESS) from error
    return RemoteStore(clients, place, prefix)


def _certificates(path: str) -> bytes:
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        said = f"AWS_CA_BUNDLE names {path}: {error.strerror}"
        raise Refused(said, cure="name a readable file of PEM certificates") from error
