from __future__ import annotations

import pytest

from bascule.front.cli.remote.errors import error_of
from bascule.front.cli.remote.waiting import raise_failure
from bascule.model.errors import BasculeError, Damaged, Exists, Missing, Refused, Unavailable


def body(code: str, message: str = "no: do that", cure: str = "do that") -> dict[str, object]:
    more = [{"type": "BasculeError", "info": {"code": code, "cure": cure}}]
    return {"error": {"code": "X", "message": message, "additionalInfo": more}}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad-body", Refused),
        (401, "revoked", Refused),
        (403, "not-permitted", Refused),
        (404, "missing", Missing),
        (409, "exists", Exists),
        (409, "not-allowed", Refused),
        (429, "too-many-attempts", Unavailable),
        (503, "unavailable", Unavailable),
        (500, "damaged", Damaged),
        (500, "internal-error", BasculeError),
    ],
)
def test_an_answer_of_the_api_is_the_error_that_it_was(status: int, code: str, kind: type) -> None:
    error = error_of(status, body(code))
    assert type(error) is kind
    assert (error.message, error.cure, error.code) == ("no", "do that", code)


def test_an_answer_that_is_none_of_ours_is_an_error_too() -> None:
    assert error_of(502, {}, "Bad Gateway").message == "Bad Gateway"
    assert isinstance(error_of(502, {}), Unavailable)
    assert error_of(400, {"error": "text"}).code == "status-400"


def job(state: str, **more: object) -> dict[str, object]:
    return {"name": "j", "properties": {"state": state, **more}}


def failure(code: str) -> list[object]:
    return [{"serviceErrorDetails": {"code": code, "message": "no room", "recommendedAction": "make room"}}]


def test_a_job_that_failed_raises_what_it_failed_by() -> None:
    with pytest.raises(Refused, match="job j failed: no room") as caught:
        raise_failure(job("Failed", errors=failure("no-room"), allowedActions=["Restart"]))
    assert caught.value.cure == "make room; then `bascule job restart j`"
    with pytest.raises(Unavailable):
        raise_failure(job("Failed", errors=failure("unavailable")))
    with pytest.raises(Refused, match="was cancelled"):
        raise_failure(job("Cancelled"))
    with pytest.raises(Unavailable, match="waits for somebody"):
        raise_failure(job("Suspended", stateDescription="WaitingForManualAction"))
    raise_failure(job("Succeeded"))
