"""``bascule completion``: what makes a shell ask, and ``bascule complete``, which it asks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bascule.front.cli.printing.screen import Screen, say
from bascule.front.cli.words.options import Json, tools_of


class Shell(StrEnum):
    """Whose language the script is in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_SCRIPTS = {
    Shell.BASH: """\
_bascule() {
    local IFS=$'\\n'
    COMPREPLY=($(bascule complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _bascule bascule
""",
    Shell.ZSH: """\
_bascule() {
    local -a found
    found=("${(@f)$(bascule complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n $found[1] ]]; then compadd -- $found; else _files; fi
}
compdef _bascule bascule
""",
    Shell.FISH: """\
complete -c bascule -a '(bascule complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
""",
}


def completion(
    shell: Annotated[Shell, typer.Argument(help="Your shell.", show_default=False)], is_json: Json = False
) -> None:
    """Print what makes your shell complete the words of bascule.

    Names of items, hosts, sites and so on come from the server, if it answers within a second and a half.

    \b
    Examples:
      bascule completion bash > /etc/bash_completion.d/bascule
      source <(bascule completion zsh)                      (in ~/.zshrc)
      bascule completion fish > ~/.config/fish/completions/bascule.fish
    """
    script = _SCRIPTS[shell]
    Screen(is_json=is_json).show({"shell": shell, "script": script}, [script.rstrip("\n")])


def complete(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD]...", help="All words so far, the unfinished one last.", show_default=False
        ),
    ] = None,
    is_json: Json = False,
) -> None:
    """Print what a word may become: what the shell asks.

    \b
    Example:
      bascule complete -- item fail-over w
    """
    from .candidates import candidates

    found = candidates(tools_of(context), words or [""])
    if is_json:
        Screen(is_json=True).show({"value": found}, ())
        return
    for word in found:
        say(word)
