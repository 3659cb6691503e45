"""Lay changes on a disk's stack, and merge layers so that their sizes double downwards.

Each run is written about once per doubling, so a change costs what changed and not
what the disk holds. A merge goes through the pages of its layers side by side and
holds a few of them at a time. A page that no other layer of the merge touches is
kept by reference: a first copy of any size writes each of its pages once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from .container import FrameRef, Source
from .layers import LayerRef, PageCache, PageRef, Shape, Stack, pack_index
from .runs import Page, Run, overlay
from .sealing import HOLES, MAP

# A run takes 29 bytes of a page, and a source, with its salt, about a hundred.
_SOURCE_WEIGHT = 3

Write = Callable[[bytes, int, int], FrameRef]
"""Seal a map frame into a segment: its bytes, the first block it speaks of, its flags."""


class Stacker:
    """Pushes changes onto a disk's stack, writing pages through ``write``."""

    def __init__(self, cache: PageCache, write: Write, shape: Shape) -> None:
        self._cache = cache
        self._write = write
        self._shape = shape

    def push(self, stack: Stack, runs: list[Run], *, spill: bool = False) -> Stack:
        """Return the stack with ``runs``, in block order, laid over it; ``spill`` leaves nothing inline."""
        upper = overlay(stack.inline, runs)
        if not stack.layers:
            upper = [run for run in upper if run.frame is not None]
        if len(upper) <= self._shape.inline_runs and not spill:
            return Stack(Page(upper), stack.layers)
        sheaf = _Sheaf(self._write, self._shape.page_runs)
        sheaf.add(upper)
        return self._settle(sheaf.layer(), stack.layers)

    def _settle(self, top: LayerRef | None, below: tuple[LayerRef, ...]) -> Stack:
        """Return a stack of ``top`` on the layers below, merged with those that are not twice as large."""
        layers = (top, *below) if top else below
        # More than once: a change in the middle of a run cuts it in two, so that what was merged may
        # have more runs than its layers had together, and be too large for the layer below it.
        while (deep := _too_large(layers)) > 1:
            merged = self._merge(layers[:deep], last=deep == len(layers))
            layers = (merged, *layers[deep:]) if merged else layers[deep:]
        return Stack(Page(), layers)

    def _merge(self, layers: tuple[LayerRef, ...], *, last: bool) -> LayerRef | None:
        """Merge layers, newest first; under the last of all nothing is left for a hole to hide."""
        sheaf = _Sheaf(self._write, self._shape.page_runs, drop_holes=last)
        walk = _Walk(self._cache, [self._cache.pages(layer) for layer in layers])
        while (step := walk.next()) is not None:
            alone = walk.untouched(step)
            if alone is not None and sheaf.keep(alone):
                walk.at = alone.end
            else:
                sheaf.add(walk.runs(step))
                walk.at = step.end
        return sheaf.layer()


def _too_large(layers: tuple[LayerRef, ...]) -> int:
    """Return how many of the upper layers are, together, too large for the layer below each of them."""
    total = deep = 0
    while deep < len(layers) and (deep == 0 or layers[deep].runs < 2 * total):
        total += layers[deep].runs
        deep += 1
    return deep


class _Step(NamedTuple):
    """Blocks over which the same pages lie: for each layer that has one, its number and its page."""

    first: int
    end: int
    pages: list[tuple[int, PageRef]]


class _Walk:
    """Goes through the pages of several layers side by side, in block order."""

    def __init__(self, cache: PageCache, layers: list[list[PageRef]]) -> None:
        self._cache = cache
        self._layers = layers
        self._places = [0] * len(layers)
        self.at = 0

    def next(self) -> _Step | None:
        """Return the next blocks that any page lies over, or None at the end."""
        ahead = list(self._ahead())
        if not ahead:
            return None
        first = min(max(page.first, self.at) for _, page in ahead)
        here = [(layer, page) for layer, page in ahead if page.first <= first]
        beyond = [page.first for _, page in ahead if page.first > first]
        return _Step(first, min([page.end for _, page in here] + beyond), here)

    def _ahead(self) -> Iterator[tuple[int, PageRef]]:
        """Yield the first page of each layer that does not end before here."""
        for layer, pages in enumerate(self._layers):
            place = self._places[layer]
            while place < len(pages) and pages[place].end <= self.at:
                place += 1
            self._places[layer] = place
            if place < len(pages):
                yield layer, pages[place]

    def untouched(self, step: _Step) -> PageRef | None:
        """Return a page that begins here and over which no other layer has runs."""
        for layer, page in step.pages:
            if page.first == step.first and not any(
                self._has_runs(other, page) for other in range(len(self._layers)) if other != layer
            ):
                return page
        return None

    def _has_runs(self, layer: int, over: PageRef) -> bool:
        pages, place = self._layers[layer], self._places[layer]
        if place == len(pages) or pages[place].first >= over.end:
            return False
        # A page begins and ends with a run.
        if pages[place].first >= over.first or pages[place].end <= over.end:
            return True
        return any(True for _ in self._cache.page(pages[place]).within(over.first, over.end))

    def runs(self, step: _Step) -> list[Run]:
        """Return what the blocks of a step show."""
        shown: list[Run] = []
        for _, page in reversed(step.pages):
            shown = overlay(shown, list(self._cache.page(page).within(step.first, step.end)))
        return shown


class _Sheaf:
    """The pages of a layer that is being written, and runs that wait to fill the next one."""

    def __init__(self, write: Write, page_runs: int, *, drop_holes: bool = False) -> None:
        self._write = write
        self._page_runs = page_runs
        self._few = max(page_runs // 8, 1)
        self._drop_holes = drop_holes
        self._pages: list[PageRef] = []
        self._loose: list[Run] = []

    def add(self, runs: list[Run]) -> None:
        """Take runs that lie behind all that came before."""
        if self._drop_holes:
            runs = [run for run in runs if run.frame is not None]
        if self._loose and runs and (whole := _joined(self._loose[-1], runs[0])):
            self._loose[-1] = whole
            runs = runs[1:]
        self._loose += runs
        if len(self._loose) >= 2 * self._page_runs:
            self._flush()

    def keep(self, page: PageRef) -> bool:
        """Take a page as it is, unless that would leave a tiny one, or holes that hide nothing."""
        holes = self._drop_holes and page.frame.flags & HOLES
        if page.runs < self._few or 0 < len(self._loose) < self._few or holes:
            return False
        self._flush()
        self._pages.append(page)
        return True

    def layer(self) -> LayerRef | None:
        """Write what is left and the list of pages; None if there is nothing."""
        self._flush()
        if not self._pages:
            return None
        first, end = self._pages[0].first, self._pages[-1].end
        index = self._write(pack_index(self._pages), first, MAP)
        return LayerRef(sum(page.runs for page in self._pages), first, end, index)

    def _flush(self) -> None:
        """Write the waiting runs in pages of about the same bytes, however many objects they name."""
        sources: set[Source] = set()
        start = weight = 0
        for i, run in enumerate(self._loose):
            source = run.frame.source if run.frame else None
            more = 1 if source is None or source in sources else 1 + _SOURCE_WEIGHT
            if weight + more > self._page_runs and i > start:
                self._pages.append(self._page(self._loose[start:i]))
                start, weight, more = i, 0, 1 + _SOURCE_WEIGHT if source else 1
                sources.clear()
            weight += more
            if source is not None:
                sources.add(source)
        if self._loose:
            self._pages.append(self._page(self._loose[start:]))
        self._loose = []

    def _page(self, runs: list[Run]) -> PageRef:
        first, end = runs[0].block, runs[-1].end
        flags = MAP | HOLES if any(run.frame is None for run in runs) else MAP
        return PageRef(first, end, len(runs), self._write(Page(runs).pack(), first, flags))


def _joined(left: Run, right: Run) -> Run | None:
    """Return two halves of a run that a page's edge cut, as one."""
    if left.frame is None or left.frame != right.frame or left.end != right.block:
        return None
    if left.skip + left.span != right.skip:
        return None
    return left._replace(span=left.span + right.span)
