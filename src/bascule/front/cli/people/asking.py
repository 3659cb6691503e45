"""Secrets and names that a person is asked for, or that a file has: never words of a command line."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from bascule.model.errors import Refused, Unavailable

NO_PASSWORD = "put it into a file of your own and name that with --password-file"


def first_line(file: Path | None) -> str:
    """Return what the first line of a file says; nothing if no file is named."""
    if file is None:
        return ""
    try:
        found = file.read_text().partition("\n")[0].strip()
    except (OSError, ValueError) as error:
        raise Unavailable(f"cannot read {file}: {error}") from error
    if not found:
        raise Refused(f"{file} has nothing in its first line", cure="put the secret or password there")
    return found


def asked(question: str, cure: str, *, is_secret: bool = False) -> str:
    """Ask at the terminal, without echo for what is secret; refused with a cure where nobody is."""
    if not sys.stdin.isatty():
        what = question.partition(":")[0].lower()
        raise Refused(f"{what} is not given, and nobody is here to ask", cure=cure)
    if is_secret:
        return getpass.getpass(question, stream=sys.stderr)
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def new_password(cure: str) -> str:
    """Ask for a password that nobody has typed before, twice."""
    found = asked("New password: ", cure, is_secret=True)
    if asked("The same again: ", cure, is_secret=True) != found:
        raise Refused("that was not the same twice", cure="begin again; nothing was changed")
    return found
