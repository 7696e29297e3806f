"""``hpcho report``: the page, figures and table, once or again and again while a run goes on."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcho.cli.arguments import ExperimentOrDatabase, ExpKey, PasswordFile
from hpcho.cli.output import say, warn
from hpcho.errors import StoreError, StoreLost
from hpcho.opening import Run, open_trials

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from hpcho.standing import Ledger, Standing

__all__ = ["report"]

WATCH_S = 5.0
"""A page that is watched is written again, and opens itself again, after so long."""


def report(
    experiment: ExperimentOrDatabase,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to write [default: runs/NAME/report].", show_default=False),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it again while trials end; the page opens itself again.")
    ] = False,
    figures: Annotated[
        str, typer.Option("--figures", metavar="LIST", help="The figures' formats, of svg, png and pdf.")
    ] = "svg,png",
    axes: Annotated[
        tuple[str, str] | None,
        typer.Option("--axes", metavar="A B", help="Two params for the figures of two.", show_default=False),
    ] = None,
    exp_key: ExpKey = None,
    password_file: PasswordFile = None,
) -> None:
    """Write the report: one HTML file, figures, trials.csv.

    report.html opens offline, in any browser; the figures, drawn for papers, lie beside it.
    """
    from hpcho.standing import Ledger  # noqa: PLC0415 - `hpcho --help` does without

    formats = tuple(dict.fromkeys(part.strip() for part in figures.split(",") if part.strip()))
    order = _Order(out, axes, formats)
    if watch:
        _watch(order, lambda: open_trials(experiment, exp_key, password_file), open_page=open_page)
        return
    with open_trials(experiment, exp_key, password_file) as run:
        ledger = Ledger(run.experiment.goals)
        ledger.apply(run.store.changes()[1])
        page = _Seen.of(run, ledger).render(order)
    say(f"wrote {page}")
    _open(page, wanted=open_page)


@dataclass(frozen=True)
class _Order:
    """What to write, and where; None: into the run's own folder."""

    out: Path | None
    axes: tuple[str, str] | None
    formats: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """A run as its store had it when it was read last; the store may be away since."""

    run: Run
    ledger: "Ledger"
    standing: "Standing"

    @classmethod
    def of(cls, run: Run, ledger: "Ledger") -> "_Seen":
        """How the run stands now. Raises StoreError."""
        from hpcho.standing import read  # noqa: PLC0415 - `hpcho --help` does without

        return cls(run, ledger, read(run.experiment.name, run.space, run.store, ledger))

    def render(
        self, order: _Order, *, reload_s: float | None = None, figures: bool = True, away: str | None = None
    ) -> Path:
        """Write it; the page's path. ``away``: why there is nothing newer."""
        from hpcho.report import render  # noqa: PLC0415 - `hpcho --help` does without

        page, *_ = render(
            self.run.experiment,
            self.run.space,
            self.ledger.trials,
            order.out or self.run.jobdir.report,
            elapsed_s=self.standing.elapsed_s,
            axes=order.axes,
            formats=order.formats if figures else (),
            jobdir=self.run.jobdir,
            went=f"the store is away: {away}" if away else self.standing.went,
            reload_s=reload_s,
        )
        return page


def _watch(order: _Order, reopen: "Callable[[], AbstractContextManager[Run]]", *, open_page: bool) -> None:
    """Until the run has ended. Figures take seconds, so they are drawn at the end.

    Once it was seen, a store that cannot be read is said and opened anew, as a server may come back elsewhere.
    Raises StoreLost when it comes back empty, and what ``open_trials`` raises at the start.
    """
    from hpcho.report import check_formats  # noqa: PLC0415 - `hpcho --help` does without

    check_formats(order.formats)
    watched = _Watched(order, open_page=open_page)
    try:
        while True:
            try:
                with reopen() as run:
                    watched.follow(run)
                    return
            except StoreError as error:
                if watched.page is None or isinstance(error, StoreLost):
                    raise
                watched.away(error)
            time.sleep(WATCH_S)
    except BaseException:
        watched.leave()
        raise


class _Watched:
    """A page that is written again while a run goes on."""

    def __init__(self, order: _Order, *, open_page: bool) -> None:
        self.page: Path | None = None
        """None until it was written for the first time."""
        self._order, self._open_page = order, open_page
        self._seen: _Seen | None = None
        self._is_away = False

    def follow(self, run: Run) -> None:
        """Write the page whenever something has changed, until the run has ended. Raises StoreError."""
        from hpcho.standing import Ledger  # noqa: PLC0415 - `hpcho --help` does without

        ledger, cursor = Ledger(run.experiment.goals), None
        while True:
            cursor, changed = run.store.changes(cursor)
            ledger.apply(changed)
            ledger.forget(run.store.unreadable)
            seen = _Seen.of(run, ledger)
            self._seen = seen
            if seen.standing.has_ended:
                written = seen.render(self._order)
                say(f"wrote {written}: the run has ended")
                _open(written, wanted=self._open_page and self.page is None)
                return
            if changed or self.page is None:
                self._write(seen)
            if self._is_away:
                say("the store is there again")
                sys.stdout.flush()
                self._is_away = False
            time.sleep(WATCH_S)

    def _write(self, seen: _Seen) -> None:
        is_first, self.page = self.page is None, seen.render(self._order, reload_s=WATCH_S, figures=False)
        if is_first:
            say(f"wrote {self.page}, and write it again as trials end; Ctrl-C ends that")
            _open(self.page, wanted=self._open_page)

    def away(self, error: StoreError) -> None:
        """The store cannot be read at the moment: the page says so, and so does a line."""
        if self._is_away or self._seen is None:
            return
        self._is_away = True
        say(f"the store is away ({error}): looking again every {WATCH_S:.0f} seconds")
        sys.stdout.flush()
        self._seen.render(self._order, reload_s=WATCH_S, figures=False, away=str(error))

    def leave(self) -> None:
        """Nobody writes it any more: what is left opens itself no more, and needs no store."""
        if self._seen is not None and self.page is not None:
            self._seen.render(self._order, figures=False)


def _open(page: Path, *, wanted: bool) -> None:
    if not wanted:
        return
    import webbrowser  # noqa: PLC0415 - rarely needed

    if not webbrowser.open(page.absolute().as_uri()):
        warn("no browser here; open the file by hand")
