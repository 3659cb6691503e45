from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup

from bascule.front.cli.app import WORDS, command

NOUNS = (
    *("store", "key", "machine", "provider", "replica", "door"),
    *("profile", "vault", "site", "host", "policy", "mapping", "item", "point", "job", "event", "record"),
    *("alert", "principal", "user", "role"),
)
COMMANDS = [
    (),
    ("store",),
    *(("store", verb) for verb in ("init", "ls", "show", "lock", "verify", "sweep")),
    ("key",),
    *(("key", verb) for verb in ("create", "ls", "add", "remove")),
    ("machine",),
    *(
        ("machine", verb)
        for verb in ("list", "show", "networks", "define", "start", "stop", "kill", "remove")
    ),
    *(("machine", verb) for verb in ("console", "screenshot", "guard", "may-start")),
    ("copy",),
    ("replica",),
    *(("replica", verb) for verb in ("fail-over", "change-point", "commit", "cancel", "status")),
    *(
        ("replica", verb)
        for verb in ("test", "clean-up", "hand-over", "fail-back", "release", "start", "shape")
    ),
    ("replicate",),
    ("protect",),
    ("unprotect",),
    ("status",),
    ("pause",),
    ("resume",),
    ("resync",),
    ("provider",),
    *(("provider", verb) for verb in ("run", "check", "register", "status")),
    ("door",),
    *(("door", verb) for verb in ("run", "key", "hosts", "revoke", "order", "orders", "audit")),
    ("serve",),
    ("owner",),
    ("login",),
    ("logout",),
    ("profile",),
    *(("profile", verb) for verb in ("ls", "use")),
    ("vault",),
    *(("vault", verb) for verb in ("create", "remove", "ls", "use", "show")),
    ("site",),
    *(("site", verb) for verb in ("create", "remove", "ls", "key", "machines", "leads")),
    ("host",),
    *(("host", verb) for verb in ("ls", "revoke")),
    ("policy",),
    *(("policy", verb) for verb in ("set", "ls", "remove")),
    ("mapping",),
    *(("mapping", verb) for verb in ("create", "ls", "remove")),
    ("item",),
    *(("item", verb) for verb in ("ls", "show", "protect", "resync", "unprotect", "test", "clean-up")),
    *(("item", verb) for verb in ("fail-over", "change-point", "commit", "cancel")),
    *(("item", verb) for verb in ("reprotect", "fail-back")),
    ("point",),
    ("point", "ls"),
    ("job",),
    *(("job", verb) for verb in ("ls", "show", "wait", "cancel", "restart", "resume", "export")),
    ("event",),
    ("event", "ls"),
    ("alert",),
    *(("alert", verb) for verb in ("set", "show")),
    ("record",),
    ("record", "ls"),
    ("principal",),
    *(("principal", verb) for verb in ("create", "renew", "forget", "remove", "ls")),
    ("user",),
    *(("user", verb) for verb in ("add", "password", "unlock", "remove", "ls")),
    ("role",),
    *(("role", verb) for verb in ("set", "remove", "ls")),
    ("restore",),
    ("serve-point",),
    ("completion",),
    ("complete",),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_that_teaches_by_example(desk, words: tuple[str, ...]) -> None:
    shown = desk.ok(*words, "--help").out
    assert shown.startswith("Usage: bascule")
    if words not in ((), *((noun,) for noun in NOUNS)):
        assert re.search(f"^    bascule {' '.join(words)}( |$)", shown.split("Example")[1], re.MULTILINE)
        assert "--json" in shown


def test_the_list_of_commands_is_complete() -> None:
    nouns = {word: command(word) for word in WORDS if isinstance(command(word), TyperGroup)}
    assert set(nouns) == set(NOUNS)
    names = {(), *((word,) for word in WORDS)}
    names |= {(noun, verb) for noun, group in nouns.items() for verb in group.commands}
    assert names == set(COMMANDS)


@pytest.mark.parametrize("word", WORDS)
def test_what_the_list_says_of_a_command_is_what_it_says_of_itself(word: str) -> None:
    whole = " ".join((command(word).help or "").split())
    assert whole.startswith(WORDS[word][1])


def test_the_first_words_of_help_are_a_tour_that_works(desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the examples of the top page, with this folder for theirs."""
    monkeypatch.chdir(desk.folder)
    desk.image("web.raw", (0, b"boot"))
    tour = [line.split() for line in desk.ok("--help").out.splitlines() if line.startswith("    bascule ")]
    assert [line[1] for line in tour] == ["key", "store", "copy", "store", "restore"]
    for line in tour:
        words = [word.replace("/srv/", "").replace("/vm/", "").replace(".qcow2", ".raw") for word in line[1:]]
        desk.ok(*words)
    assert desk.path("web-again.raw").read_bytes() == desk.path("web.raw").read_bytes()


def test_it_says_which_version_it_is(desk) -> None:
    assert desk.ok("--version").out.startswith("bascule 0.")


@pytest.mark.parametrize(
    "words", [("store", "init"), ("copy", "a"), ("nonsense",), ("store", "ls", "st", "--no")]
)
def test_words_that_make_no_sense_are_refused_with_the_usage(desk, words: tuple[str, ...]) -> None:
    done = desk.run(*words)
    assert done.code == 2
    assert "Usage: bascule" in done.err
    assert done.out == ""


SLOW = {"rich", "structlog", "pydantic", "azure", "requests", "obstore", "cryptography"}


@pytest.mark.parametrize(
    ("start", "heavy"),
    [
        ("import bascule.apps.command_line, bascule.front.cli.app as a; a.build()", SLOW),
        ("from bascule.apps.command_line import run; run(['--help'], None)", SLOW),
        ("from bascule.apps.command_line import run; run(['item', '--help'], None)", SLOW),
        ("from bascule.front.cli.app import command, WORDS; [command(word) for word in WORDS]", {"azure"}),
        ("import bascule.apps.command_line", {"typer", "rich", "structlog", "obstore", "cryptography"}),
    ],
)
def test_what_is_slow_to_load_is_not_loaded_before_it_is_needed(start: str, heavy: set[str]) -> None:
    code = f"import sys; {start}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not heavy & set(loaded.split())


def test_an_answer_that_nobody_reads_on_is_no_error_of_ours(desk, tmp_path: Path) -> None:
    desk.init()
    script = f'"{sys.executable}" -c "from bascule.apps.command_line import main; main()" --help | head -c 1'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


_ROOT = Path(__file__).parents[3]
_SAID = re.compile(r"`bascule ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")


def test_every_command_that_a_message_or_a_page_names_is_there() -> None:
    pages = [*_ROOT.glob("src/**/*.py"), *_ROOT.glob("docs/*.md"), *_ROOT.glob("docs/design/*.md")]
    named = {said for page in [*pages, _ROOT / "README.md"] for said in _SAID.findall(page.read_text())}
    strangers = {word for word, _ in named if word not in WORDS}
    for word, verb in named:
        if word not in strangers and verb:
            verbs = getattr(command(word), "commands", {verb: None})
            strangers |= {f"{word} {verb}"} - {f"{word} {known}" for known in verbs}
    assert ("site", "key") in named
    assert strangers == set()
