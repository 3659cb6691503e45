"""The house rules that no linter knows. A failure lists every offender with its line."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 500
FOLDER_FILES_MAX = 12
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "core", "misc", "shared"}

# The brackets keep this file from offending against itself.
REGISTRIES = re.compile(
    r"pyp[i]\b|python[h]osted|npm[j]s|crates[.]io|proxy[.]golang|deb[.]debian|index[-]url", re.IGNORECASE
)
LEFT_FOR_LATER = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X])\b")
MACHINE_PATH = re.compile(r"(?<![\w.~$}*])/(?:work|home|root|Users)/\w")
SILENCED = re.compile(r"#\s*(?:type:\s*ignore|noqa|pragma:\s*no)\b")
REASONED = re.compile(
    r"# (?:type: ignore\[[\w, -]+\]|noqa: [A-Z]+\d+(?:, [A-Z]+\d+)*|pragma: no cover)"  # what exactly
    r"\s*[-#(]\s*\w+\W+\w+\W+\w+"  # and at least three words why
)
SLEEPLESS = "waits with sleep; wait for a condition inside a loop with a deadline"

STATUSES = ("proposed", "accepted", "built", "replaced by", "withdrawn")
FRAGMENT_NAME = re.compile(r"\d+-[a-z0-9]+(?:-[a-z0-9]+)*\.md")
FRAGMENT_HEAD = re.compile(r"(?:Added|Changed|Fixed|Removed|Security): [^a-z\s].{8,}[^.\s]")
LINK = re.compile(r"\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")


@cache
def files() -> tuple[Path, ...]:
    """Everything that is in the repository or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(path for name in sorted(filter(None, listed.split("\0"))) if (path := ROOT / name).is_file())


def sources(*rooms: str) -> Iterator[Path]:
    for path in files():
        inside = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py" and (not rooms or inside.startswith(rooms)):
            yield path


def python(*rooms: str) -> Iterator[tuple[Path, ast.Module]]:
    return ((path, parsed(path)) for path in sources(*rooms))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def lines() -> Iterator[tuple[Path, int, str]]:
    for path in files():
        if path.name == "LICENSE" or path.suffix not in {".py", ".md", ".toml", ".lock", ".sh", ".yml", ""}:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            yield path, number, line


def at(path: Path, number: int, what: str) -> str:
    return f"{path.relative_to(ROOT)}:{number}: {what}"


def nothing(offenders: Iterator[str]) -> None:
    found = list(offenders)
    assert not found, "\n" + "\n".join(found)


def dotted(node: ast.expr) -> str:
    """Spell the name a call or decorator goes by: ``pytest.mark.skip(...)`` is ``pytest.mark.skip``."""
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)


def test_functions_are_short() -> None:
    nothing(
        at(path, node.lineno, f"{node.name} has {length} lines, {FUNCTION_LINES_MAX} at most")
        for path, tree in python()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for length in ((node.end_lineno or node.lineno) - node.lineno + 1,)
        if length > FUNCTION_LINES_MAX
    )


def test_files_are_short() -> None:
    nothing(
        at(path, length, f"{length} lines, {FILE_LINES_MAX} at most")
        for path in sources()
        for length in (len(path.read_text().splitlines()),)
        if length > FILE_LINES_MAX
    )


def test_folders_fit_on_a_screen() -> None:
    counts = Counter(path.parent for path in sources())
    nothing(
        at(folder, 0, f"{count} Python files, {FOLDER_FILES_MAX} at most")
        for folder, count in counts.items()
        if count > FOLDER_FILES_MAX
    )


def test_no_room_is_a_lumber_room() -> None:
    nothing(
        at(path, 0, "a name that says nothing; name it after what it is about")
        for path in sources()
        if FORBIDDEN_NAMES & {*path.relative_to(ROOT).parts[:-1], path.stem}
    )


def test_every_module_says_what_it_is_for() -> None:
    nothing(
        at(path, 1, "no module docstring")
        for path, tree in python("src/", "lab/", "benchmarks/")
        if not ast.get_docstring(tree)
    )


def test_silenced_checkers_come_with_a_reason() -> None:
    nothing(
        at(
            path,
            number,
            "silenced without a code or a reason: '# noqa: CODE - why', '# type: ignore[code]  # why'",
        )
        for path, number, line in lines()
        if path.suffix == ".py" and path != Path(__file__)
        if SILENCED.search(line) and not REASONED.search(line)
    )


def test_skipped_tests_say_why() -> None:
    skips = {f"pytest.mark.{mark}" for mark in ("skip", "skipif", "xfail")} | {"pytest.skip", "pytest.xfail"}
    nothing(
        at(path, node.lineno, "skipped without a reason")
        for path, tree in python("tests/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Call) and dotted(node) in skips
        if not is_explained(node, tree)
    )


def is_explained(node: ast.expr, tree: ast.Module) -> bool:
    if isinstance(node, ast.Attribute):
        return any(isinstance(call, ast.Call) and call.func is node for call in ast.walk(tree))
    assert isinstance(node, ast.Call)
    return any(word.arg == "reason" for word in node.keywords) or (
        dotted(node).count(".") == 1 and bool(node.args)
    )


def test_tests_wait_for_conditions_and_use_fakes() -> None:
    def offences(path: Path, node: ast.AST, looping: bool) -> Iterator[str]:
        looping = looping or isinstance(node, ast.While | ast.For)
        if isinstance(node, ast.Call) and dotted(node) in {"time.sleep", "sleep"} and not looping:
            yield at(path, node.lineno, SLEEPLESS)
        if isinstance(node, ast.ImportFrom | ast.Import) and "mock" in ast.unparse(node).replace(
            "mock_aws", ""
        ):
            yield at(path, node.lineno, "mocks; write a fake that keeps the port's promises")
        for child in ast.iter_child_nodes(node):
            yield from offences(path, child, looping)

    nothing(offence for path, tree in python("tests/") for offence in offences(path, tree, looping=False))


def test_nouns_do_not_change() -> None:
    rooms = tuple(f"src/bascule/{room}/" for room in ("model", "ports", "wire"))
    nothing(
        at(path, node.lineno, f"{node.name}: @dataclass(frozen=True, slots=True) in this room")
        for path, tree in python(*rooms)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if dotted(decorator).endswith("dataclass")
        if not {"frozen=True", "slots=True"} <= set(re.findall(r"\w+=True", ast.unparse(decorator)))
    )


def test_rooms_that_travel_need_nothing_installed() -> None:
    rooms = tuple(f"src/bascule/{room}/" for room in ("model", "ports", "wire", "blocks"))
    known = sys.stdlib_module_names | {"bascule"}
    nothing(
        at(path, node.lineno, f"{name} is neither the standard library nor ours")
        for path, tree in python(*rooms)
        for node in ast.walk(tree)
        for name in imported(node)
        if name.partition(".")[0] not in known
    )


def test_the_product_knows_neither_tests_nor_lab() -> None:
    nothing(
        at(path, node.lineno, f"imports {name}")
        for path, tree in python("src/")
        for node in ast.walk(tree)
        for name in imported(node)
        if name.partition(".")[0] in {"tests", "lab", "benchmarks", "pytest", "hypothesis", "moto"}
    )


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


def test_nothing_is_left_for_later_and_nothing_is_tied_to_one_machine() -> None:
    rules: tuple[tuple[re.Pattern[str], str], ...] = (
        (LEFT_FOR_LATER, "do it, or open an issue"),
        (REGISTRIES, "the address of a package registry; everyone has their own"),
        (MACHINE_PATH, "a path of one machine"),
    )
    nothing(
        at(path, number, why) for path, number, line in lines() for rule, why in rules if rule.search(line)
    )


def test_the_lock_files_have_hashes_and_no_addresses() -> None:
    lock = "".join(path.read_text() for path in sorted(ROOT.glob("requirements*.lock")))
    pinned = re.findall(r"^[\w.-]+==\S+.*\\$", lock, re.MULTILINE)
    assert len(pinned) > 30
    assert not re.findall(r"^(?!    --hash=sha256:[0-9a-f]{64}(?: \\)?$)(?![\w.-]+==).+$", lock, re.MULTILINE)


def test_the_plan_of_the_house_names_every_room() -> None:
    plan = (ROOT / "docs/house.md").read_text()
    source = ROOT / "src/bascule"
    rooms = {path.parent.relative_to(source).as_posix() for path in sources("src/bascule/")} - {"."}
    roots = {
        room
        for room in rooms
        if room.count("/") == (room.split("/")[0] in {"front", "data", "drivers", "wire"})
    }
    nothing(f"{room} has no line in docs/house.md" for room in sorted(roots) if f"`{room}`" not in plan)


def test_every_design_note_has_a_status() -> None:
    for path in (ROOT / "docs/design").glob("*.md"):
        assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name), path.name
        title, _, rest = path.read_text().partition("\n")
        status = re.match(r"\s*Status: (.+)", rest)
        assert title.startswith(f"# {path.name[:4]} "), f"{path.name}: the title starts with the number"
        assert status, f"{path.name}: the line after the title is 'Status: …'"
        assert status[1].startswith(STATUSES), f"{path.name}: {status[1]} is none of {STATUSES}"


def test_every_changelog_fragment_is_well_formed() -> None:
    for path in (ROOT / "changelog.d").iterdir():
        head, _, body = path.read_text().partition("\n")
        assert FRAGMENT_NAME.fullmatch(path.name), f"{path.name}: ISSUE-few-words.md"
        assert FRAGMENT_HEAD.fullmatch(head), f"{path.name}: 'Added: What a user can do now', no full stop"
        assert len(head) <= 120, f"{path.name}: the first line is a headline"
        assert not body.strip() or body.startswith("\n"), f"{path.name}: an empty line below the headline"


def test_links_between_documents_lead_somewhere() -> None:
    def broken(path: Path) -> Iterator[str]:
        text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        for match in LINK.finditer(text):
            target, _, anchor = match["target"].partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            goal = (path.parent / target).resolve() if target else path
            if not goal.exists() or not goal.is_relative_to(ROOT):
                yield at(path, 0, f"{match['target']} leads nowhere")
            elif anchor and anchor not in anchors(goal):
                yield at(path, 0, f"{match['target']}: no such heading")

    nothing(line for path in files() if path.suffix == ".md" for line in broken(path))


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
