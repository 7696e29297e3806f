"""How figures look: colours, fonts, text that stays text, and the files they become."""

from __future__ import annotations

import io
import textwrap
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, TypeVar, cast

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

__all__ = [
    "BEST",
    "FAILED",
    "GRID",
    "HEAD",
    "INK",
    "MAIN",
    "MUTED",
    "PALE",
    "WIDTH",
    "blank",
    "drawing",
    "encode",
    "short",
]

Draw = TypeVar("Draw", bound=Callable[..., Figure])

INK = "#1f2733"
MUTED = "#68727f"
GRID = "#e4e8ed"
PALE = "#f3f5f8"
# Okabe and Ito's blue, orange and vermilion: told apart with any colour vision.
MAIN = "#0072b2"
BEST = "#e69f00"
FAILED = "#d55e00"

# What people have installed for scripts that DejaVu, which comes with matplotlib, does not cover.
FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Noto Sans JP",
    "Noto Sans KR",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "Malgun Gothic",
    "PingFang SC",
    "Hiragino Sans",
    "Arial Unicode MS",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Sans Hebrew",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Emoji",
)
DPI = 160
WIDTH = 5.7
"""Inches of a figure that stands beside another."""
HEAD = 0.78
"""Inches at a figure's top for its title and note."""


@contextmanager
def style() -> Iterator[None]:
    """Draw and encode inside: our settings instead of the user's, which come back afterwards.

    ``$`` in a text is a dollar, never mathematics; a glyph that no font has is an empty box, never an error.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.family": list(_fonts()),
                "font.size": 9.0,
                "text.parse_math": False,
                "text.color": INK,
                "axes.edgecolor": "#c4cbd4",
                "axes.labelcolor": MUTED,
                "axes.labelsize": 9.0,
                "axes.linewidth": 0.8,
                "axes.grid": True,
                "axes.axisbelow": True,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "grid.color": GRID,
                "grid.linewidth": 0.8,
                "xtick.color": MUTED,
                "ytick.color": MUTED,
                "xtick.labelsize": 8.0,
                "ytick.labelsize": 8.0,
                "xtick.major.size": 0.0,
                "ytick.major.size": 0.0,
                # One salt, so that the same trials give the same file.
                "svg.hashsalt": "hpcho",
            }
        )
        yield


@cache
def _fonts() -> tuple[str, ...]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in FALLBACKS if name in installed))


def drawing(draw: Draw) -> Draw:
    """A function that draws a figure, made to draw it in our style."""

    @wraps(draw)
    def styled(*args: Any, **named: Any) -> Figure:
        with style():
            return draw(*args, **named)

    return cast("Draw", styled)


def blank(width: float, height: float, title: str, note: str = "") -> Figure:
    """A white figure of ``width`` by ``height`` inches with its title, and below it a note in small print."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.2 / width, 1 - 0.14 / height, title, ha="left", va="top", size=12, weight="bold")
    lines = textwrap.wrap(note, int(width * 17.5) - 6, max_lines=2, placeholder=" …")
    figure.text(0.2 / width, 1 - 0.4 / height, "\n".join(lines), ha="left", va="top", size=8, color=MUTED)
    return figure


def encode(figure: Figure, form: str) -> bytes:
    """The figure as an ``svg``, ``png`` or ``pdf`` file."""
    buffer = io.BytesIO()
    with style():
        # Outlines look the same everywhere; text in a script that no font here has is left to the viewer's fonts.
        mpl.rcParams["svg.fonttype"] = "path" if _covered(figure) else "none"
        # Text in a PDF stays text, in fonts that journals take.
        mpl.rcParams["pdf.fonttype"] = 42
        nothing = {"svg": ("Date", "Creator", "Type", "Format"), "pdf": ("CreationDate", "Creator", "Producer")}.get(
            form, ("Software",)
        )
        figure.savefig(buffer, format=form, dpi=DPI, metadata=dict.fromkeys(nothing))
    return buffer.getvalue()


def _covered(figure: Figure) -> bool:
    known = _characters()
    return all(ord(c) in known or c == "\n" for text in figure.findobj(Text) for c in text.get_text())


@cache
def _characters() -> frozenset[int]:
    """Every character that one of the fonts in use has."""
    files = (font_manager.findfont(name) for name in _fonts())
    return frozenset(c for file in files for c in font_manager.get_font(file).get_charmap())


def short(text: str, width: int = 28) -> str:
    """``text`` on one line, at most ``width`` characters; what no file can hold becomes a replacement character."""
    unprintable = ("Cc", "Cn", "Co", "Cs")
    text = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in unprintable else c for c in text)
    return text if len(text) <= width else f"{text[: max(width - 1, 1)]}…"
