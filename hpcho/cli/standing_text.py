"""Where an experiment stands, in a few aligned lines for people."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from hpcho.cli.output import number, seconds
from hpcho.cli.progress import best_numbers, goal_words, left_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcho.experiment.schema import Budget
    from hpcho.standing import Standing

__all__ = ["standing_text"]

NARROWEST = 24
"""Columns: below this a value is not wrapped beside its name any more."""


def standing_text(now: Standing, budget: Budget, *, width: int | None = None, away: str | None = None) -> str:
    """The standing, in lines of at most ``width`` columns where words allow; ``away``: why it may be out of date."""
    lines = _counts(now, budget)
    if now.failures:
        lines.append(("failures", _causes(now.failures)))
    if now.interrupted:
        saved = f"; {now.saved} had saved work, and went on from there" if now.saved else ""
        lines.append(("interrupted", f"{_causes(now.interrupted)}  (tried again{saved})"))
    if now.staff is not None:
        lines.append(("workers", "  ".join(f"{count} {what}" for what, count in now.staff.items() if count) or "none"))
    lines += [
        ("worker", f"{worker['owner']}  trial {worker['tid']}  {seconds(worker['since_s'])}") for worker in now.workers
    ]
    if now.notice:
        lines.append(("waiting" if now.state == "waiting" else "notice", now.notice))
    if now.end and now.end.get("message"):
        lines.append(("ended", now.end["message"]))
    if away:
        lines.append(("away", f"the store cannot be read ({away}): looking again every second"))
    key_width = max(len(key) for key, _ in lines)
    return "\n".join([now.name, *(_line(key, value, key_width, width) for key, value in lines)])


def _counts(now: Standing, budget: Budget) -> list[tuple[str, str]]:
    counts = "  ".join(f"{name} {count}" for name, count in now.trials.items() if count) or "none yet"
    wanted = f"  of {budget.trials} wanted" if budget.trials else ""
    lines = [("state", now.state), ("trials", counts + wanted)]
    if now.best:
        shown = "  ".join(f"{name}={number(value)}" for name, value in now.best["params"].items())
        lines += [("best", f"{best_numbers(now.best)}  trial {now.best['tid']}"), ("", shown)]
    if words := goal_words(now):
        lines.append(("goals", words))
    rate = f"  {float(f'{now.trials_per_hour:.3g}'):g} trials an hour" if now.trials_per_hour else ""
    left = left_s(now, budget) if now.state == "running" else None
    lines.append(("time", (seconds(now.elapsed_s) or "0s") + rate + (f"  about {seconds(left)} left" if left else "")))
    return lines


def _causes(causes: Mapping[str, int]) -> str:
    return "  ".join(f"{cause} {count}" for cause, count in causes.items())


def _line(key: str, value: str, key_width: int, width: int | None) -> str:
    begin = f"  {key:<{key_width}}  "
    if width is None or width - len(begin) < NARROWEST:
        return begin + value
    indent = " " * len(begin)
    return textwrap.fill(
        value, width, initial_indent=begin, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
