"""Errors for people: what happened, why, what to do. And for programs: the code and the family."""

from __future__ import annotations

import json
import sys

from bascule.model.errors import BasculeError, Cancelled, Damaged, Unavailable

from .screen import say


def complain(error: BasculeError, *, is_json: bool) -> None:
    """Print an error to standard error."""
    if is_json:
        fields = {"family": family_of(error), "code": error.code, "message": error.message}
        say(json.dumps({"error": {**fields, "why": why(error), "cure": error.cure}}), sys.stderr)
        return
    say(f"bascule: {error.message}", sys.stderr)
    if cause := why(error):
        say(f"  why: {cause}", sys.stderr)
    if error.cure:
        say(f"  what to do: {error.cure}", sys.stderr)


def family_of(error: BasculeError) -> str:
    """Name the family, which is what the reader should do: see ``model.errors``."""
    for family in (Cancelled, Unavailable, Damaged):
        if isinstance(error, family):
            return family.code
    return "refused"


def why(error: BasculeError) -> str:
    """Return the cause below an error, unless its message says it already."""
    cause = error.__cause__
    if isinstance(cause, BasculeError):
        text = cause.message
    elif isinstance(cause, OSError):
        text = cause.strerror or str(cause).partition("\n")[0]  # some libraries append pages of details
    else:
        return ""
    return "" if text.lower() in error.message.lower() else text
