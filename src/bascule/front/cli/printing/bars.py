"""Progress bars. Imported only where there is a terminal, for rich takes a tenth of a second to load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from bascule.data.pipeline.flow.progress import Progress
from bascule.front.cli.words.quantities import bytes_text, seconds_text


@contextmanager
def bar(doing: str) -> Iterator[Callable[[Progress], None]]:
    """Draw a bar on standard error, and keep its last state on the screen."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        _Figures(),
    )
    with Bars(*columns, console=Console(stderr=True), refresh_per_second=5) as bars:
        task = bars.add_task(doing, total=None, look=None)

        def show(progress: Progress) -> None:
            bars.update(task, total=progress.total_bytes, completed=progress.done_bytes, look=progress)

        yield show


class _Figures(ProgressColumn):
    """``1.2 GiB of 4.0 GiB  310 MiB/s  8 s left``."""

    def render(self, task: Task) -> Text:
        look: Progress | None = task.fields["look"]
        if look is None:
            return Text("")
        parts = [f"{bytes_text(look.done_bytes)} of {bytes_text(look.total_bytes)}"]
        if look.rate_bytes:
            parts.append(f"{bytes_text(look.rate_bytes)}/s")
        if look.seconds_left:
            parts.append(f"{seconds_text(look.seconds_left)} left")
        return Text("  ".join(parts))
