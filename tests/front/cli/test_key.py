from __future__ import annotations

import pytest


def test_a_key_file_is_made_once_and_for_its_owner_alone(desk) -> None:
    made = desk.ok("key", "create", desk.path("a.key"), "--json").document
    assert desk.path("a.key").stat().st_mode & 0o777 == 0o600
    assert made["fingerprint"] not in desk.path("a.key").read_text()
    again = desk.run("key", "create", desk.path("a.key"))
    assert again.code == 2
    assert "exists" in again.err


def test_no_command_prints_a_key(desk) -> None:
    desk.ok("key", "create", desk.path("main.key"))
    secret = desk.path("main.key").read_text().strip().split(":")[1]
    said = [
        desk.run("store", "init", desk.store),
        desk.run("store", "show", desk.store),
        desk.run("store", "ls", desk.store, settings={}),
        desk.run("key", "ls", desk.store, "--json"),
    ]
    assert not [done for done in said if secret[:20] in done.out + done.err]


def test_keys_are_listed_without_a_key(stocked) -> None:
    keys = stocked.ok("key", "ls", stocked.store, "--json", settings={}).document["keys"]
    assert [key["kind"] for key in keys] == ["file"]
    assert keys[0]["fingerprint"] in stocked.ok("key", "ls", stocked.store, settings={}).out


def test_a_second_key_opens_the_store_and_the_first_can_go(stocked) -> None:
    stocked.ok("key", "create", stocked.path("second.key"))
    added = stocked.ok(
        "key", "add", stocked.store, "--new-key-file", stocked.path("second.key"), "--label", "safe", "--json"
    ).document
    first = next(
        key["id"]
        for key in stocked.ok("key", "ls", stocked.store, "--json").document["keys"]
        if key["id"] != added["id"]
    )
    second = {"BASCULE_KEY_FILE": str(stocked.path("second.key"))}
    stocked.ok("key", "remove", stocked.store, first, settings=second)
    assert stocked.run("store", "ls", stocked.store).code == 2
    assert "web" in stocked.ok("store", "ls", stocked.store, settings=second).out


def test_the_last_key_stays(stocked) -> None:
    (key,) = stocked.ok("key", "ls", stocked.store, "--json").document["keys"]
    refused = stocked.run("key", "remove", stocked.store, key["id"])
    assert refused.code == 2
    assert "only key" in refused.err


@pytest.mark.slow
def test_a_passphrase_opens_the_store_by_file_and_by_environment(desk) -> None:
    desk.path("words").write_text("correct horse\n")
    desk.ok("store", "init", desk.store, "--passphrase-file", desk.path("words"), settings={})
    assert desk.ok("store", "ls", desk.store, settings={"BASCULE_PASSPHRASE": "correct horse"}).code == 0
    wrong = desk.run("store", "ls", desk.store, "--json", settings={"BASCULE_PASSPHRASE": "wrong horse"})
    assert wrong.code == 2
    assert wrong.error["code"] == "wrong-key"
    assert "horse" not in wrong.err


def test_an_option_beats_the_environment(stocked) -> None:
    stocked.ok("key", "create", stocked.path("other.key"))
    wrong = stocked.run("store", "ls", stocked.store, "--key-file", stocked.path("other.key"), "--json")
    assert wrong.error["code"] == "wrong-key"


@pytest.mark.parametrize("noun", [("store", "ls"), ("store", "verify"), ("store", "sweep")])
def test_without_a_key_nothing_is_read_and_the_ways_to_name_one_are_told(stocked, noun) -> None:
    locked = stocked.run(*noun, stocked.store, "--json", settings={})
    assert locked.code == 2
    assert locked.error["code"] == "no-key"
    assert "--key-file" in locked.error["cure"]
    assert "BASCULE_KEY_FILE" in locked.error["cure"]


def test_a_key_file_that_was_cut_is_noticed(stocked) -> None:
    key = stocked.path("main.key")
    key.write_text(key.read_text()[:-8])
    refused = stocked.run("store", "ls", stocked.store)
    assert refused.code == 2
    assert "no Bascule key file" in refused.err


def test_two_keys_at_once_are_refused(stocked) -> None:
    stocked.path("words").write_text("x")
    both = ("--key-file", stocked.path("main.key"), "--passphrase-file", stocked.path("words"))
    assert stocked.run("store", "ls", stocked.store, *both).code == 2


def test_keys_are_no_words_of_the_command_line(stocked) -> None:
    for word in ("--passphrase", "--key"):
        assert stocked.run("store", "ls", stocked.store, word, "secret").code == 2
