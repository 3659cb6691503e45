"""A guest by libvirt's own calls to its agent, for the watch (``python -m …`` is run as that).

libvirt has the agent's channel to itself and asks it one thing at a time. A freeze may take as long as the
guest likes to answer, so a thread waits for it, and the watch for that. A thaw behind one that is not
answered waits its turn in libvirt, is refused after half a minute, and is asked for again: it reaches the
guest after the freeze was answered, and before anybody else's wish.
"""

from __future__ import annotations

import os
import threading

from bascule.model.errors import BasculeError, Missing, Unavailable

from ...watch import watch
from ..connection import Domain, connect, told
from ..states import is_on

# What the agent says to everything but a thaw while its guest is frozen.
_FROZEN = "frozen state"


class LibvirtGuest:
    """See ``watch.Guest``."""

    def __init__(self, uri: str, name: str) -> None:
        self._uri = uri
        self._name = name
        self._connection = connect(uri)
        self._ready, self._tell = os.pipe()
        self._answer: int | BasculeError | None = None

    def _domain(self) -> Domain:
        if not self._connection.isAlive():
            self._connection = connect(self._uri)
        with told(self._name):
            return self._connection.lookupByName(self._name)

    def sync(self) -> None:
        """See Guest. A guest that an earlier owner left frozen is there too."""
        self.status(0.0)

    def descriptor(self) -> int:
        """See Guest."""
        return self._ready

    def begin(self, until: float) -> None:
        """See Guest."""
        del until  # libvirt has no limit, and whoever reads the answer has one
        domain = self._domain()

        def freeze() -> None:
            try:
                with told(f"the guest of {self._name} does not freeze"):
                    self._answer = domain.fsFreeze()
            except BasculeError as error:
                self._answer = error
            os.write(self._tell, b".")

        threading.Thread(target=freeze, name="freeze", daemon=True).start()

    def frozen(self, until: float) -> int:
        """See Guest."""
        del until  # the answer is there
        os.read(self._ready, 1)
        if isinstance(self._answer, BasculeError):
            raise self._answer
        return self._answer or 0

    def status(self, until: float) -> str:
        """See Guest."""
        del until  # libvirt gives an agent five seconds to show that it is there
        try:
            with told(f"the guest agent of {self._name} does not answer"):
                self._domain().getTime()
        except Unavailable as error:
            if _FROZEN not in error.message:
                raise
            return "frozen"
        return "thawed"

    def run(self, script: str, until: float) -> tuple[int, str]:
        """See Guest. libvirt has no call for it, and a command past it would leave a mark on the machine."""
        del script, until
        raise Unavailable(
            f"libvirt runs nothing in the guest of {self._name}",
            cure="make the application ready by commands of this host: --before, --after",
        )

    def thawed(self, end: float) -> int | None:
        """See Guest."""
        del end  # libvirt refuses by itself after half a minute
        try:
            domain = self._domain()
            if not is_on(domain):
                return 0  # with the machine its file systems went
            with told(f"the guest of {self._name} does not thaw"):
                return domain.fsThaw()
        except Missing:
            return 0
        except BasculeError:
            return None


if __name__ == "__main__":
    watch(LibvirtGuest)
