from __future__ import annotations

from pathlib import Path

import pytest

from bascule.drivers.objects.factory import open_store
from bascule.drivers.objects.local import LocalStore
from bascule.drivers.objects.memory import MemoryStore
from bascule.model.errors import Missing, Refused
from tests.contracts.objects import read_all
from tests.servers.azurite import Azurite
from tests.servers.moto import Moto

S3 = {
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "eu-west-3",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
}


def test_a_folder_is_named_plainly_or_as_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    open_store(str(folder)).create("a/b", b"x")
    spelled = str(folder).replace(" ", "%20")
    for address in ("with space", "./with space", f"file://{spelled}", f"file://localhost{spelled}"):
        store = open_store(address)
        assert isinstance(store, LocalStore)
        assert read_all(store, "a/b") == b"x"
        store.close()


def test_a_missing_folder_is_made_only_on_demand(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="mounted"):
        open_store(str(tmp_path / "x/y"))
    open_store(f"file://{tmp_path}/x/y", create=True).create("a", b"")
    assert (tmp_path / "x/y/a").is_file()


def test_memory_is_a_store_of_its_own_each_time() -> None:
    first, second = open_store("memory:"), open_store("memory:")
    assert isinstance(first, MemoryStore)
    first.create("a", b"")
    assert list(second.list("")) == []


@pytest.mark.lab
def test_a_prefix_is_a_store_of_its_own(azurite: Azurite, moto: Moto) -> None:
    for scheme, settings in (("az", azurite.environment()), ("s3", moto.environment())):
        whole = open_store(f"{scheme}://shared/of-its-own", settings=settings)
        part = open_store(f"{scheme}://shared/of-its-own/part~1/", settings=settings)
        beside = open_store(f"{scheme}://shared/of-its-own/part", settings=settings)
        part.create("a/b", b"x")
        assert [info.name for info in whole.list("")] == ["part~1/a/b"]
        assert [info.name for info in part.list("a/", after="a/a")] == ["a/b"]
        assert list(beside.list("")) == []
        whole.delete(["part~1/a/b"])
        assert list(part.list("")) == []


@pytest.mark.parametrize(
    ("address", "taught"),
    [
        ("", "name a folder"),
        ("gs://bucket", "no kind of store called 'gs'.*az://container/prefix or s3://bucket/prefix"),
        ("s3:", "no bucket"),
        ("az:///prefix", "no bucket"),
        ("file://server/share", "no folder of this machine"),
        ("file:relative", "no folder of this machine"),
        ("s3://bucket/a/../b", "no object name"),
        ("s3://bucket/a b", "no object name"),
    ],
)
def test_a_wrong_address_is_refused_with_how_to_write_it(address: str, taught: str) -> None:
    with pytest.raises(Refused, match=taught):
        open_store(address, settings=S3)


@pytest.mark.parametrize(
    "address",
    ["s3://id:HIDDEN@bucket/x", "az://box?sv=1&sig=HIDDEN", "s3://bucket#HIDDEN", "az://HIDDEN@box/x"],
)
def test_a_secret_in_an_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(Refused, match="environment") as caught:
        open_store(address, settings=S3)
    assert "HIDDEN" not in str(caught.value)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for create in (False, True):
        with pytest.raises(Refused, match="is not a folder"):
            open_store(str(tmp_path / "file"), create=create)
