"""The agent in a fake machine's guest: it keeps the promises of ``ports.guests``, by a clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from bascule.model.errors import Unavailable
from bascule.ports.chance import Clock
from bascule.ports.guests import FROZEN_AT_MOST_SECONDS


@dataclass(slots=True, eq=False)
class FakeGuest:
    """A guest with file systems; ``frozen_at`` is None while they are written to.

    ``ran`` are the scripts that it was told to run; those that contain ``refuses`` fail.
    """

    file_systems: int = 2
    is_silent: bool = False
    frozen_at: float | None = None
    ran: list[str] = field(default_factory=list)
    refuses: str = ""

    def thaw(self) -> int:
        """Thaw, as anybody may."""
        was, self.frozen_at = self.frozen_at, None
        return 0 if was is None else self.file_systems


class FakeAgent:
    """See ``ports.guests.GuestAgent``. Its watch acts when somebody looks."""

    def __init__(self, guest: FakeGuest, clock: Clock, limit: float = FROZEN_AT_MOST_SECONDS) -> None:
        self._guest = guest
        self._clock = clock
        self._limit = limit
        self._is_ours = False

    def freeze(self) -> int:
        """See GuestAgent."""
        self._must_answer()
        self._guest.frozen_at = self._clock.monotonic()
        self._is_ours = True
        return self._guest.file_systems

    def thaw(self) -> int:
        """See GuestAgent."""
        self._must_answer()
        is_too_late = self._is_ours and not self.is_frozen()
        self._is_ours = False
        return 0 if is_too_late else self._guest.thaw()

    def is_frozen(self) -> bool:
        """See GuestAgent."""
        self._must_answer()
        since = self._guest.frozen_at
        if since is not None and self._is_ours and self._clock.monotonic() - since >= self._limit:
            self._guest.thaw()
        return self._guest.frozen_at is not None

    def run(self, script: str, seconds: float) -> None:
        """See GuestAgent. Nothing is run; the guest keeps what it was told."""
        del seconds
        self._must_answer()
        if self._guest.frozen_at is not None:
            raise Unavailable("the guest is frozen, and runs nothing")
        self._guest.ran.append(script)
        if self._guest.refuses and self._guest.refuses in script:
            raise Unavailable("a script in the guest ended with 1")

    def settle(self) -> None:
        """See GuestAgent."""
        self._guest.thaw()

    def close(self) -> None:
        """See GuestAgent."""
        if self._is_ours:
            self._guest.thaw()
            self._is_ours = False

    def _must_answer(self) -> None:
        if self._guest.is_silent:
            raise Unavailable("the guest agent does not answer", cure="see that it runs in the guest")
