from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bascule.drivers.objects.remote import RemoteStore
from bascule.drivers.objects.s3 import open_s3
from bascule.model.errors import Missing, Refused, Unavailable
from tests.contracts.objects import ObjectStoreContract, names, read_all
from tests.servers.moto import Moto


@pytest.mark.lab
class TestS3(ObjectStoreContract):
    @pytest.fixture
    def store(self, moto: Moto, fresh_prefix: Callable[[], str]) -> RemoteStore:
        return open_s3("shared", fresh_prefix(), moto.environment())


@pytest.mark.lab
def test_a_whole_bucket_is_a_store_and_the_vendors_client_sees_the_same(moto: Moto) -> None:
    moto.create_bucket("whole")
    store = open_s3("whole", "", moto.environment())
    for name in ("a/b~c", "a-b", ".x/y"):
        store.create(name, name.encode())
    client = moto.client()
    listed = client.list_objects_v2(Bucket="whole")["Contents"]
    assert [entry["Key"] for entry in listed] == [".x/y", "a-b", "a/b~c"]
    assert client.get_object(Bucket="whole", Key="a/b~c")["Body"].read() == b"a/b~c"
    client.put_object(Bucket="whole", Key="a/0 foreign", Body=b"not ours")
    assert names(store, "a") == ["a-b", "a/b~c"]
    assert read_all(store, ".x/y") == b".x/y"


@pytest.mark.lab
def test_a_missing_bucket_is_named_with_the_cure(moto: Moto) -> None:
    store = open_s3("absent", "", moto.environment())
    for verb in (lambda: store.create("a", b"x"), lambda: names(store), lambda: store.delete(["a"])):
        with pytest.raises(Missing, match="aws s3 mb s3://absent") as caught:
            verb()
        assert caught.value.code == "no-bucket"


def test_a_certificate_bundle_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="AWS_CA_BUNDLE"):
        open_s3("box", "", {"AWS_CA_BUNDLE": str(tmp_path / "absent.pem")})


def test_a_server_that_is_not_there_is_unavailable_and_no_secret_is_shown() -> None:
    settings = {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "TOPSECRET",
        "AWS_REGION": "eu-west-3",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }
    store = open_s3("box", "some/prefix/", settings)
    with pytest.raises(Unavailable, match="refused") as caught:
        store.create("a", b"x")
    assert repr(store) == "RemoteStore('s3://box/some/prefix')"
    assert "TOPSECRET" not in str(caught.value) + str(caught.value.__cause__)
