"""Which command is which workflow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bascule.control.jobs.runner import Workflow
from bascule.model.vault.item import Command

from .crossing.cancel import cancel
from .crossing.change_point import change_point
from .crossing.commit import commit
from .crossing.fail_back import fail_back
from .crossing.fail_over import fail_over
from .crossing.planned import planned_fail_over
from .ends import Ends
from .protecting.disable import disable
from .protecting.enable import enable
from .protecting.finalize import finalize
from .protecting.follow import follow_policy
from .protecting.reprotect import reprotect
from .protecting.resync import resync
from .protecting.update import update
from .rehearse import clean_up, rehearse


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
        Command.FOLLOW_POLICY: follow_policy,
    }
    return {command: partial(verb, ends=ends) for command, verb in verbs.items()}
