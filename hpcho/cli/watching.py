"""``status --watch``: looks on until the run has ended, through a store that is away for a moment."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from hpcho.cli.canvas import Canvas
from hpcho.cli.output import say
from hpcho.cli.progress import headline, is_drawable
from hpcho.cli.standing_text import standing_text
from hpcho.errors import StoreError, StoreLost
from hpcho.opening import open_run
from hpcho.standing import Ledger, read

if TYPE_CHECKING:
    from pathlib import Path

    from hpcho.experiment.schema import Budget
    from hpcho.standing import Standing

__all__ = ["watch"]

WATCH_S = 1.0
TOLD_EVERY_S = 30.0
"""Where there is no terminal: so often, beside a line for each change."""


def watch(path: Path) -> None:
    """Show the run at ``path`` every second until it has ended.

    Once it was seen, a store that cannot be read is said and opened anew, as a server may come back elsewhere.
    Raises StoreLost when it comes back empty, and what ``open_run`` raises at the start.
    """
    shown: _Shown = _Block() if is_drawable() else _Lines()
    seen = False
    try:
        while True:
            try:
                with open_run(path) as run:
                    budget, ledger, cursor = run.experiment.budget, Ledger(run.experiment.goals), None
                    while True:
                        cursor, changed = run.store.changes(cursor)
                        ledger.apply(changed)
                        now = read(run.experiment.name, run.space, run.store, ledger)
                        seen = True
                        shown.show(now, budget)
                        if now.has_ended:
                            return
                        time.sleep(WATCH_S)
            except StoreError as error:
                if not seen or isinstance(error, StoreLost):
                    raise
                shown.away(error)
                time.sleep(WATCH_S)
    finally:
        shown.close()


class _Shown(Protocol):
    """How a watcher shows what it sees."""

    def show(self, now: Standing, budget: Budget) -> None:
        """The standing now."""

    def away(self, error: StoreError) -> None:
        """The store cannot be read at the moment."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


class _Block:
    """The standing on a terminal, drawn anew in place; it follows the terminal's width."""

    def __init__(self) -> None:
        self._canvas = Canvas()
        self._last: tuple[Standing, Budget] | None = None

    def show(self, now: Standing, budget: Budget) -> None:
        self._last = now, budget
        self._draw()

    def away(self, error: StoreError) -> None:
        self._draw(str(error))

    def _draw(self, away: str | None = None) -> None:
        from rich.text import Text  # noqa: PLC0415 - rich: only a watching terminal needs it

        assert self._last is not None
        self._canvas.draw(Text(standing_text(*self._last, width=self._canvas.width, away=away)))

    def close(self) -> None:
        self._canvas.close()


class _Lines:
    """A line where something has changed, and the whole standing at the end; for pipes, logs and CI."""

    def __init__(self) -> None:
        self._told, self._told_at = "", 0.0
        self._is_away = False

    def show(self, now: Standing, budget: Budget) -> None:
        if self._is_away:
            say("the store is there again")
            self._is_away = False
        if now.has_ended:
            say(standing_text(now, budget))
        elif (count := str((now.trials, now.best, now.notice))) != self._told or self._is_due():
            self._told, self._told_at = count, time.monotonic()
            say(headline(now, budget))
        sys.stdout.flush()

    def _is_due(self) -> bool:
        return time.monotonic() - self._told_at >= TOLD_EVERY_S

    def away(self, error: StoreError) -> None:
        if not self._is_away:
            say(f"the store is away ({error}): looking again every second")
            sys.stdout.flush()
        self._is_away = True

    def close(self) -> None:
        """Nothing to restore."""
