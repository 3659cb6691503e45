"""Which command is which workflow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bascule.control.jobs.runner import Workflow
from bascule.model.vault.item import Command

from .cancel import cancel
from .change_point import change_point
from .commit import commit
from .disable import disable
from .enable import enable
from .ends import Ends
from .fail_back import fail_back
from .fail_over import fail_over
from .finalize import finalize
from .planned import planned_fail_over
from .rehearse import clean_up, rehearse
from .reprotect import reprotect
from .resync import resync
from .update import update


def workflows(ends: Ends) -> Mapping[Command, Workflow]:
    """Return every command's workflow between two ends."""
    verbs = {
        Command.ENABLE: enable,
        Command.FINALIZE: finalize,
        Command.DISABLE: disable,
        Command.TEST_FAIL_OVER: rehearse,
        Command.CLEAN_UP: clean_up,
        Command.FAIL_OVER: fail_over,
        Command.CHANGE_POINT: change_point,
        Command.COMMIT: commit,
        Command.CANCEL: cancel,
        Command.RESYNC: resync,
        Command.PLANNED_FAIL_OVER: planned_fail_over,
        Command.REPROTECT: reprotect,
        Command.FAIL_BACK: fail_back,
        Command.UPDATE: update,
    }
    return {command: partial(verb, ends=ends) for command, verb in verbs.items()}
