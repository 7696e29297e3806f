"""What a run shows while it works: a live block on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from hpcho.cli.output import number, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from hpcho.experiment.schema import Budget
    from hpcho.standing import Standing

__all__ = ["Progress", "open_progress"]

SLOW_PER_HOUR, FAST_PER_HOUR = 10, 36_000
"""Below the first the rate is told with a decimal; from the second on, by the second."""
PLAIN_EVERY_S = 30.0
"""How often a line is printed where there is no terminal, beside one for each better loss (at most one a second)."""
SHOWN_PARAMS = 6


class Progress(Protocol):
    """Shows the standing as it changes."""

    def show(self, standing: Standing) -> None:
        """The standing now; cheap to call often."""

    def note(self, text: str) -> None:
        """Something that the user should hear once."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


def open_progress(budget: Budget) -> Progress:
    """The fitting one for this process's stdout."""
    return Terminal(budget) if sys.stdout.isatty() else Lines(budget)


class Lines:
    """A line at the start, for each better loss, and every PLAIN_EVERY_S."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._best: float | None = None
        self._due = self._soonest = 0.0

    def show(self, standing: Standing) -> None:
        now = time.monotonic()
        best = standing.best["loss"] if standing.best else None
        if now >= self._due or (best != self._best and now >= self._soonest):
            self._best, self._due, self._soonest = best, now + PLAIN_EVERY_S, now + 1.0
            self.note(headline(standing, self._budget))

    def note(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201 - printing is what this class is for

    def close(self) -> None:
        """Nothing to restore."""


class Terminal:
    """A block of three lines that is drawn anew a few times a second."""

    def __init__(self, budget: Budget) -> None:
        from rich.live import Live  # noqa: PLC0415 - only a run on a terminal draws

        self._budget = budget
        self._live = Live(refresh_per_second=4, redirect_stderr=False, redirect_stdout=False)
        self._live.start()

    def show(self, standing: Standing) -> None:
        self._live.update(self._block(standing))

    def note(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._live.stop()

    def _block(self, standing: Standing) -> RenderableType:
        from rich.console import Group  # noqa: PLC0415 - as above
        from rich.progress_bar import ProgressBar  # noqa: PLC0415 - rich: only a terminal needs it
        from rich.table import Table  # noqa: PLC0415 - rich: only a terminal needs it
        from rich.text import Text  # noqa: PLC0415 - rich: only a terminal needs it

        first = Table.grid(padding=(0, 2))
        total = self._budget.trials
        done = f"{standing.ok}/{total} trials" if total else f"{standing.ok} trials"
        bar = ProgressBar(total=total, completed=standing.ok, width=28) if total else Text("")
        first.add_row(Text(standing.name, style="bold"), bar, done, Text(pace(standing, self._budget), style="dim"))
        lines: list[Any] = [first]
        if standing.best:
            lines.append(
                Text.assemble(
                    ("best  ", "dim"),
                    (f"{standing.best['loss']:.6g}", "bold green"),
                    f"  {best_words(standing)}",
                    no_wrap=True,
                    overflow="ellipsis",
                )
            )
        state = Text.assemble(("now   ", "dim"), work_words(standing), no_wrap=True, overflow="ellipsis")
        if standing.failures:
            state.append(f"  failed: {cause_words(standing.failures)}", style="red")
        if standing.interrupted:
            state.append(f"  {interruption_words(standing)}", style="yellow")
        lines.append(state)
        if standing.notice:
            lines.append(Text(standing.notice, style="yellow"))
        return Group(*lines)


def headline(standing: Standing, budget: Budget) -> str:
    """Everything in one line."""
    total = f"/{budget.trials}" if budget.trials else ""
    parts = [f"{standing.ok}{total} trials"]
    if standing.best:
        parts.append(f"best {number(standing.best['loss'])} (trial {standing.best['tid']})")
    parts += [work_words(standing), pace(standing, budget)]
    if standing.failures:
        parts.append(f"failed: {cause_words(standing.failures)}")
    if standing.interrupted:
        parts.append(interruption_words(standing))
    if standing.notice:
        parts.append(standing.notice)
    return "  ".join(part for part in parts if part)


def best_words(standing: Standing) -> str:
    """The best trial's params, the first few of them."""
    assert standing.best is not None
    params = list(standing.best["params"].items())
    words = [f"{name}={number(value)}" for name, value in params[:SHOWN_PARAMS]]
    if len(params) > SHOWN_PARAMS:
        words.append(f"and {len(params) - SHOWN_PARAMS} more")
    return f"trial {standing.best['tid']}  {' '.join(words)}"


def work_words(standing: Standing) -> str:
    """What runs now."""
    running = standing.trials["running"]
    return f"{running} running" + (f", {standing.trials['new']} queued" if standing.trials["new"] else "")


def cause_words(counts: Mapping[str, int]) -> str:
    """How many by cause."""
    return ", ".join(f"{n} {cause}" for cause, n in sorted(counts.items()))


def interruption_words(standing: Standing) -> str:
    """Attempts that the infrastructure ended."""
    saved = f" ({standing.saved} had saved their work)" if standing.saved else ""
    return f"interrupted: {cause_words(standing.interrupted)}{saved}"


def pace(standing: Standing, budget: Budget) -> str:
    """Time so far, rate and time left."""
    words = [seconds(standing.elapsed_s)]
    if standing.trials_per_hour >= FAST_PER_HOUR:
        words.append(f"{standing.trials_per_hour / 3600:.0f} trials/s")
    elif standing.trials_per_hour:
        words.append(f"{standing.trials_per_hour:.{1 if standing.trials_per_hour < SLOW_PER_HOUR else 0}f} trials/h")
    left = []
    if budget.trials and standing.trials_per_hour:
        left.append(max(budget.trials - standing.ok, 0) / standing.trials_per_hour * 3600)
    if budget.hours:
        left.append(max(budget.hours * 3600 - standing.elapsed_s, 0.0))
    if left and min(left) > 0:
        words.append(f"{seconds(min(left))} left")
    return ", ".join(words)
