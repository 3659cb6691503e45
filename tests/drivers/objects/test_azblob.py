from __future__ import annotations

from collections.abc import Callable

import pytest

from bascule.drivers.objects.azblob import open_azblob
from bascule.drivers.objects.remote import RemoteStore
from bascule.model.errors import Missing, Refused, Unavailable
from tests.contracts.objects import ObjectStoreContract, names, read_all
from tests.servers.azurite import ACCOUNT, Azurite

pytestmark = pytest.mark.lab


class TestAzureBlob(ObjectStoreContract):
    @pytest.fixture
    def store(self, azurite: Azurite, fresh_prefix: Callable[[], str]) -> RemoteStore:
        return open_azblob("shared", fresh_prefix(), azurite.environment())


def test_a_whole_container_is_a_store_and_the_vendors_client_sees_the_same(azurite: Azurite) -> None:
    azurite.create_container("whole")
    store = open_azblob("whole", "", azurite.environment())
    for name in ("a/b~c", "a-b", ".x/y"):
        store.create(name, name.encode())
    with azurite.client() as client:
        blobs = client.get_container_client("whole")
        assert [blob.name for blob in blobs.list_blobs()] == [".x/y", "a-b", "a/b~c"]
        assert blobs.download_blob("a/b~c").readall() == b"a/b~c"
        blobs.upload_blob("a/0 foreign", b"not ours")
    assert names(store, "a") == ["a-b", "a/b~c"]
    assert read_all(store, ".x/y") == b".x/y"


def test_a_connection_string_is_as_good_as_name_and_key(azurite: Azurite) -> None:
    account = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={azurite.key}"
    text = f"{account};BlobEndpoint={azurite.endpoint};"
    store = open_azblob("shared", "by-string/", {"AZURE_STORAGE_CONNECTION_STRING": text})
    store.create("a", b"x")
    assert read_all(store, "a") == b"x"


def test_a_missing_container_is_named_with_the_cure(azurite: Azurite) -> None:
    store = open_azblob("absent", "", azurite.environment())
    for verb in (lambda: store.create("a", b"x"), lambda: names(store), lambda: store.delete(["a"])):
        with pytest.raises(Missing, match="az storage container create --name absent") as caught:
            verb()
        assert caught.value.code == "no-bucket"


def test_a_wrong_key_is_refused_with_the_cure_and_not_shown(azurite: Azurite) -> None:
    secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
    store = open_azblob("shared", "", {**azurite.environment(), "AZURE_STORAGE_ACCOUNT_KEY": secret})
    verbs = (lambda: store.create("a", b"x"), lambda: store.stat("a"), lambda: names(store))
    for verb in verbs:
        with pytest.raises(Refused, match="AZURE_STORAGE_ACCOUNT_KEY") as caught:
            verb()
        assert not isinstance(caught.value, Missing)
        assert secret not in repr(store) + str(caught.value) + str(caught.value.__cause__)


def test_a_shared_access_signature_is_never_shown() -> None:
    settings = {
        "AZURE_STORAGE_ACCOUNT_NAME": "x",
        "AZURE_STORAGE_SAS_TOKEN": "sv=2021&sig=TOPSECRET%3D",
        "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:9/x",
    }
    store = open_azblob("shared", "", settings)
    with pytest.raises(Unavailable) as caught:
        store.create("a", b"x")
    assert "TOPSECRET" not in repr(store) + str(caught.value) + str(caught.value.__cause__)


def test_without_an_account_the_settings_are_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Refused, match="AZURE_STORAGE_CONNECTION_STRING"):
        open_azblob("box", "", {})


def test_a_server_that_went_away_is_unavailable() -> None:
    with Azurite() as server:
        server.create_container("box")
        store = open_azblob("box", "", server.environment())
        store.create("a", b"x")
        server.kill()
        verbs = (
            lambda: store.create("b", b"x"),
            lambda: store.read("a", 0, memoryview(bytearray(1))),
            lambda: store.stat("a"),
            lambda: names(store),
            lambda: store.delete(["a"]),
        )
        for verb in verbs:
            with pytest.raises(Unavailable, match="az://box"):
                verb()
