"""The command ``bascule``: builds the tools, runs the command, turns what goes wrong into an exit code."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from bascule.front.cli.printing.errors import complain
from bascule.front.cli.tools import Tools
from bascule.model.errors import BasculeError, Cancelled

from . import logs
from .tools import SystemTools

_COLLECT_AFTER = 20_000
BUG = 70  # EX_SOFTWARE of sysexits.h


class Stopped(BaseException):
    """A signal asked the process to end. Not an Exception, so that only ``main`` catches it."""


def main() -> None:
    """Run the command line, and leave the process with the exit code of how it ended."""
    main_with(sys.argv[1:])


def main_with(arguments: Sequence[str]) -> None:
    """Run one command as a process: Ctrl-C and SIGTERM end it in order."""
    # What a command loads is no garbage; looking for some after every 700 objects took a tenth of a start.
    gc.set_threshold(_COLLECT_AFTER)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    tools = SystemTools(owns_process=True)
    logs.install(tools.settings)
    sys.exit(run(arguments, tools))


def run(arguments: Sequence[str], tools: Tools) -> int:
    """Run one command and return its exit code; what goes wrong is on standard error then."""
    is_json = "--json" in arguments
    try:
        _obey(arguments, tools)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except Stopped:
        complain(Cancelled("stopped on request"), is_json=is_json)
        return Cancelled.exit_code
    except BasculeError as error:
        complain(error, is_json=is_json)
        return error.exit_code
    except Exception as error:
        # The supervisor: the one place where any error ends.
        if tools.settings.get("BASCULE_LOG", "").lower() == "debug":
            raise
        complain(_bug(error), is_json=is_json)
        return BUG
    return 0


def _obey(arguments: Sequence[str], tools: Tools) -> None:
    if arguments[:1] == ["serve-point"] and _serve(arguments[1:], tools):
        return
    from bascule.front.cli.app import build

    build()(list(arguments), prog_name="bascule", obj=tools)


def _serve(arguments: Sequence[str], tools: Tools) -> bool:
    """Serve a point without loading what only other commands need; False if its words are not so plain."""
    from bascule.front.cli import serving

    order = serving.understand(arguments)
    if order is not None:
        serving.serve(tools, order)
    return order is not None


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


def _bug(error: Exception) -> BasculeError:
    """Describe an error that nobody foresaw, without a traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}" if trace else ""
    return BasculeError(
        f"an error that nobody foresaw: {type(error).__name__}: {error}{where}",
        cure="run it again with BASCULE_LOG=debug and report what it prints",
        code="bug",
    )


if __name__ == "__main__":
    main()
