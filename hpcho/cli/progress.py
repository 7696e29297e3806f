"""What a run shows while it works: a live block on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from hpcho.cli.canvas import Canvas
from hpcho.cli.output import last_words, number, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

    from hpcho.experiment.schema import Budget
    from hpcho.standing import Standing
    from hpcho.trial import Trial

__all__ = ["Progress", "Talk", "best_words", "headline", "is_drawable", "left_s", "open_progress", "trial_words"]

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


class Talk(Enum):
    """How much a run says: only how it ended, what it usually does, or each trial's end too."""

    QUIET = "quiet"
    USUAL = "usual"
    VERBOSE = "verbose"


def open_progress(budget: Budget, talk: Talk = Talk.USUAL) -> Progress:
    """The fitting one for this process's stdout."""
    if talk is Talk.QUIET:
        return Silence()
    return Terminal(budget) if is_drawable() else Lines(budget)


def is_drawable() -> bool:
    """Whether stdout is a terminal where lines can be drawn anew; a CI's may look like one and keeps every line."""
    return (
        sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown") and not os.environ.get("CI")
    )


class Silence:
    """Nothing but what is a command's answer."""

    def show(self, standing: Standing) -> None:
        """Not a word."""

    def note(self, text: str) -> None:
        """Not a word."""

    def close(self) -> None:
        """Nothing to restore."""


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
    """A block of a few lines, drawn anew whenever there is something to show."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._canvas = Canvas()

    def show(self, standing: Standing) -> None:
        self._canvas.draw(Block(standing, self._budget))

    def note(self, text: str) -> None:
        self._canvas.note(text)

    def close(self) -> None:
        self._canvas.close()


class Block:
    """The standing as rich draws it, in the width that the terminal has at that moment."""

    def __init__(self, standing: Standing, budget: Budget) -> None:
        self._standing, self._budget = standing, budget

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Progress, best trial, what runs, and what is wrong: a line each, of as much as fits."""
        from rich.text import Text  # noqa: PLC0415 - rich: only a terminal needs it

        standing = self._standing
        yield from self._progress(options.max_width)
        if standing.best:
            best = best_numbers(standing.best) if "values" in standing.best else number(standing.best["loss"])
            yield _line(("best  ", "dim"), (best, "bold green"), f"  {best_words(standing)}")
        yield _line(("now   ", "dim"), work_words(standing))
        if words := goal_words(standing):
            yield _line(words)
        if standing.failures:
            yield _line((f"failed: {cause_words(standing.failures)}", "red"))
        if standing.interrupted:
            yield Text(interruption_words(standing), style="yellow")
        if standing.notice:
            yield Text(standing.notice, style="yellow")

    def _progress(self, width: int) -> Iterator[RenderableType]:
        """Name, bar, count and pace: side by side where there is room, else below each other."""
        from rich.progress_bar import ProgressBar  # noqa: PLC0415 - rich: only a terminal needs it
        from rich.table import Table  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above

        standing, total = self._standing, self._budget.trials
        name, words = Text(standing.name, style="bold"), Text(pace(standing, self._budget), style="dim")
        done = Text(f"{standing.ok}/{total} trials" if total else f"{standing.ok} trials")
        bar_width = min(28, width)
        bar = [ProgressBar(total=total, completed=min(standing.ok, total), width=bar_width)] if total else []
        row = Table.grid(padding=(0, 2))
        cells: list[Text | ProgressBar] = [name, *bar, done, words]
        if name.cell_len + done.cell_len + words.cell_len + (bar_width if bar else 0) + 2 * len(cells) <= width:
            row.add_row(*cells)
            yield row
            return
        yield _line((standing.name, "bold"), f"  {done}")
        if bar:
            row.add_row(*bar)
            yield row
        yield _line((words.plain, "dim"))


def _line(*parts: str | tuple[str, str]) -> Text:
    """One line, whatever the width."""
    from rich.text import Text  # noqa: PLC0415 - rich: only a terminal needs it

    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def trial_words(trial: Trial) -> str:
    """A trial's end in a line."""
    took = f" after {seconds(trial.duration_s)}" if trial.duration_s is not None else ""
    if trial.cause is not None:
        return f"trial {trial.tid} {trial.state.label}{took} ({trial.cause}): {last_words(trial.error)}"
    loss = f"loss {number(trial.loss)}" if trial.loss is not None else "without a loss"
    return f"trial {trial.tid} {'pruned' if trial.is_pruned else trial.state.label}{took}: {loss}"


def headline(standing: Standing, budget: Budget) -> str:
    """Everything in one line."""
    total = f"/{budget.trials}" if budget.trials else ""
    parts = [f"{standing.ok}{total} trials"]
    if standing.best:
        shown = best_numbers(standing.best) if "values" in standing.best else number(standing.best["loss"])
        parts.append(f"best {shown} (trial {standing.best['tid']})")
    parts.append(goal_words(standing))
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


def best_numbers(best: Mapping[str, Any]) -> str:
    """What is minimised, as the best trial has it: ``loss 0.12``."""
    return ", ".join(f"{name} {number(value)}" for name, value in best.get("values", {"loss": best["loss"]}).items())


def goal_words(standing: Standing) -> str:
    """The size of the Pareto set, and how many trials keep to no constraint; empty where there is nothing to say."""
    words = [f"{standing.pareto} in the Pareto set"] if standing.pareto else []
    words += [f"{standing.infeasible} infeasible"] if standing.infeasible else []
    return ", ".join(words)


def work_words(standing: Standing) -> str:
    """Who works now, and how many trials wait."""
    waiting = f"; {counted(standing.trials['new'], 'trial')} waiting" if standing.trials["new"] else ""
    return staff_words(standing) + waiting


def staff_words(standing: Standing) -> str:
    """Workers by what they do, or where nobody counts them, the trials that run."""
    if standing.staff is None:
        return f"{standing.trials['running']} running"
    busy, *others = (f"{count} {what}" for what, count in standing.staff.items() if count or what == "busy")
    return ", ".join([f"workers: {busy}", *others])


def counted(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


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
    left = left_s(standing, budget)
    if left:
        words.append(f"{seconds(left)} left")
    return ", ".join(words)


def left_s(standing: Standing, budget: Budget) -> float | None:
    """Seconds until the budget is met, at the pace so far; None as long as nobody can tell."""
    left = []
    if budget.trials and standing.trials_per_hour:
        left.append(max(budget.trials - standing.ok, 0) / standing.trials_per_hour * 3600)
    if budget.hours:
        left.append(max(budget.hours * 3600 - standing.elapsed_s, 0.0))
    return min(left, default=None)
