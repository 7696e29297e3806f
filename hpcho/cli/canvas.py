"""A few lines at the end of a terminal that are drawn anew in place, at whatever width it has by then."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Canvas"]

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
"""The cursor."""


class Canvas:
    """Draws on stdout, which is a terminal.

    When a terminal becomes narrower it breaks what stands there into more lines: they are counted and erased, so that
    nothing of an earlier drawing stays behind. Each step is one write.
    """

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - only a terminal draws

        self._console = Console()
        self._drawing = ""
        self._widths: list[int] = []
        self._write(HIDE)

    @property
    def width(self) -> int:
        """Columns of the terminal now."""
        return self._console.width

    def draw(self, block: RenderableType) -> None:
        """Draw the block in place of the last one; of one that is higher than the terminal, as much as fits."""
        from rich.segment import Segment, Segments  # noqa: PLC0415 - as above

        begin = self._erased()
        console = self._console
        lines = console.render_lines(block, pad=False)[: max(console.height - 1, 1)]
        self._widths = [Segment.get_line_length(line) for line in lines]
        joined = [segment for line in lines for segment in (*line, Segment.line())][:-1]
        with console.capture() as captured:
            console.print(Segments(joined), end="")
        self._drawing = captured.get()
        self._write(begin + self._drawing)

    def note(self, text: str) -> None:
        """A line, or several, above the block: to stay, and never broken here, so that it can be copied whole."""
        begin = self._erased()
        self._write(f"{begin}{text}\n{self._drawing}")

    def close(self) -> None:
        """Leave the last drawing, and the cursor below it."""
        self._write(("\n" if self._widths else "") + SHOW)
        self._drawing, self._widths = "", []

    def _erased(self) -> str:
        """What takes the cursor to the beginning of the last drawing, and erases that."""
        width = max(self.width, 1)
        rows = sum(max(-(-line // width), 1) for line in self._widths)
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}\x1b[J"

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()
