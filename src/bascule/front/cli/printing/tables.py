"""Tables of plain text: quick to start, and good to grep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; a head that ends in ``>`` stands over a column that is set to the right."""
    right = [title.endswith(">") for title in head]
    titles = [title.rstrip(">") for title in head]
    widths = [max(len(line[i]) for line in (titles, *rows)) for i in range(len(head))]
    for line in (titles, *rows):
        cells = (
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        )
        yield "  ".join(cells).rstrip()


def pairs(fields: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield lines of names and values, the values one below the other."""
    width = max((len(name) for name, _ in fields), default=0)
    for name, value in fields:
        yield f"{name.ljust(width)}  {value}".rstrip()
