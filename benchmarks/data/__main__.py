"""``python -m benchmarks.data``: print every figure of the data plane as a JSON line."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .bench import Bench
from .figures import boot, ceiling, copying, instant, live, points, sparse, upload
from .images import MIB
from .ours import Bascule
from .peers.benji import Benji
from .peers.borg import Borg
from .peers.nbdcopy import NbdCopy
from .peers.qemu_img import QemuImg
from .peers.restic import Restic
from .peers.rsync import Rsync
from .process import Failed, say
from .runner import Runner

PEERS: Final = (Restic, Borg, Benji, QemuImg, Rsync, NbdCopy)

# Which figures each family prints; a family runs when one of them is wanted.
FAMILIES: Final[tuple[tuple[Callable[[Bench], None], tuple[str, ...]], ...]] = (
    (lambda bench: copying.measure(bench, _runners(bench)), copying.NAMES),
    (ceiling.measure, ("ceiling",)),
    (live.measure, ("from-nbd",)),
    (sparse.measure, sparse.NAMES),
    (points.measure, ("open-10000",)),
    (instant.measure, instant.NAMES),
    (upload.measure, ("upload",)),
    # Last: it fills our own memory, and what is started later would be charged with it.
    (boot.measure, boot.NAMES),
)


def main() -> int:
    """Measure what was asked for; 1 if anything failed or came back wrong."""
    bench = _bench(_options())
    # As Ctrl-C does: what was started ends, and the rooms are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        for measure, names in FAMILIES:
            if any(map(bench.wants, names)):
                say(f"measuring {', '.join(filter(bench.wants, names))}")
                measure(bench)
    except Failed as failure:
        say(f"failed: {failure}")
        return 1
    finally:
        bench.tidy()
    return 0


def _runners(bench: Bench) -> list[Runner]:
    peers: list[Runner] = [peer() for peer in PEERS if bench.compares(peer.name)]
    return [Bascule(), *peers]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.data", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="repeats; medians are printed")
    parser.add_argument("--quick", action="store_true", help="one round on 512 MiB, to try the harness")
    parser.add_argument("--size-mib", type=int, default=4096, help="size of the mixed image")
    parser.add_argument("--only", default="", help="figures, with commas between")
    parser.add_argument("--against", default="", help="peers, with commas between")
    parser.add_argument("--cache", type=Path, default=Path(".cache/bench"), help="where images and stores go")
    return parser.parse_args()


def _bench(options: argparse.Namespace) -> Bench:
    size = min(options.size_mib, 512) if options.quick else options.size_mib
    return Bench(
        cache=options.cache.absolute(),
        rounds=1 if options.quick else options.rounds,
        size_bytes=size * MIB,
        quick=options.quick,
        only=_words(options.only),
        against=_words(options.against),
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))


if __name__ == "__main__":
    sys.exit(main())
