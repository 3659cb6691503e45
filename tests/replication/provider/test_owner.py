"""A provider never fences back who took its group over, whatever is killed when (R-FO-7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.model.errors import Unavailable
from bascule.model.items import State
from bascule.replication.provider.folder import ProviderFolder

from .scenes import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.protect()
    return made


def take_over(scene: Scene) -> str:
    with scene.vault.begin("web", writer="the other side") as writer:
        return writer.session


def head(scene: Scene) -> str:
    found = scene.vault.log("web").head()
    assert found is not None
    return found.entry.session


@pytest.mark.parametrize("is_killed", [False, True], ids=["running", "restarted"])
def test_who_was_fenced_says_so_and_does_not_fence_back(scene: Scene, is_killed: bool) -> None:
    item = scene.item()
    scene.step(item)
    theirs = take_over(scene)
    scene.write()
    if is_killed:
        item = scene.item()
    for _ in range(5):
        scene.step(item)
    facts = scene.facts()
    assert (facts.state, facts.fenced_by, facts.fenced_by_writer) == (
        State.FENCED,
        theirs,
        "the other side",
    )
    assert head(scene) == theirs
    scene.step(scene.item())
    assert head(scene) == theirs, "nor does the next process"


@pytest.mark.parametrize("is_killed", [False, True], ids=["running", "restarted"])
def test_who_wrote_a_group_does_not_begin_it_anew_behind_its_end(scene: Scene, is_killed: bool) -> None:
    """R-P-6: it has not heard yet that it is to let go."""
    item = scene.item()
    scene.step(item)
    with scene.vault.upkeep(writer="the vault") as upkeep:
        assert upkeep.retire("web")
    scene.write()
    if is_killed:
        item = scene.item()
    for _ in range(5):
        scene.step(item)
    assert scene.facts().state is State.FENCED
    assert scene.vault.groups() == []


def test_a_pause_and_lost_facts_do_not_make_it_forget(scene: Scene) -> None:
    item = scene.item()
    scene.step(item)
    theirs = take_over(scene)
    (scene.folder.item("web").path / "facts.json").unlink()
    scene.wish(is_paused=True)
    item = scene.item()
    scene.step(item)
    scene.wish(is_paused=False)
    scene.step(item)
    assert (scene.facts().state, head(scene)) == (State.FENCED, theirs)


def test_it_takes_the_group_back_from_whom_it_was_told_and_from_nobody_else(scene: Scene) -> None:
    item = scene.item()
    scene.step(item)
    take_over(scene)
    scene.write()
    for _ in range(3):
        scene.step(item)
    allowed = scene.facts().fenced_by
    third = take_over(scene)
    scene.wish(take_over=allowed)
    for _ in range(3):
        scene.step(item)
    assert (scene.facts().fenced_by, head(scene)) == (third, third)
    scene.wish(take_over=third)
    scene.step(item)
    assert scene.facts().state is State.REPLICATING
    scene.must_be_replicated()


def test_a_group_that_somebody_else_began_is_not_taken_by_a_first_wish(scene: Scene) -> None:
    theirs = take_over(scene)
    scene.step(scene.item())
    assert (scene.facts().state, head(scene)) == (State.FENCED, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_store_that_fails_at_any_request_never_makes_it_a_stranger_to_itself(
    scene: Scene, when: str
) -> None:
    """An answer that never came may have been a fence of ours; the session was written down before."""
    for at in range(1, 25):
        scene.objects.fail(at=at, when=when)
        item = scene.item()
        scene.write()
        item.step()
        scene.objects.heal()
        item.close()
        assert scene.facts().state is not State.FENCED, f"after a failure at request {at}"
        again = scene.item()
        scene.step(again)
        assert scene.facts().state is State.REPLICATING
        again.close()
    scene.must_be_replicated()


def test_one_folder_has_one_provider(tmp_path: Path) -> None:
    from bascule.model.errors import Refused

    folder = ProviderFolder(tmp_path)
    assert not folder.heartbeat().is_running
    with folder.run():
        assert folder.heartbeat().is_running
        with pytest.raises(Refused, match="runs in"), ProviderFolder(tmp_path).run():
            pass
    assert not folder.heartbeat().is_running


def test_unavailable_stays_unavailable_for_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot write"):
        ProviderFolder(tmp_path / "file").item("web").change(lambda wish: wish)
