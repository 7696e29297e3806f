"""``hpcho report``: the page, figures and table, once or again and again while a run goes on."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcho.cli.arguments import ExperimentOrDatabase, ExpKey, PasswordFile
from hpcho.cli.output import say, warn
from hpcho.opening import Run, open_trials

if TYPE_CHECKING:
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

    with open_trials(experiment, exp_key, password_file) as run:
        formats = tuple(dict.fromkeys(part.strip() for part in figures.split(",") if part.strip()))
        order = _Order(run, out or run.jobdir.report, axes, formats)
        if watch:
            _watch(order, open_page=open_page)
            return
        ledger = Ledger()
        ledger.apply(run.store.changes()[1])
        page = order.render(ledger)
    say(f"wrote {page}")
    _open(page, wanted=open_page)


@dataclass(frozen=True)
class _Order:
    """What to write of which run, and where."""

    run: Run
    out: Path
    axes: tuple[str, str] | None
    formats: tuple[str, ...]

    def standing(self, ledger: "Ledger") -> "Standing":
        """How the run stands now."""
        from hpcho.standing import read  # noqa: PLC0415 - `hpcho --help` does without

        return read(self.run.experiment.name, self.run.space, self.run.store, ledger)

    def render(self, ledger: "Ledger", *, reload_s: float | None = None, figures: bool = True) -> Path:
        """Write it; the page's path."""
        from hpcho.report import render  # noqa: PLC0415 - `hpcho --help` does without

        now = self.standing(ledger)
        page, *_ = render(
            self.run.experiment,
            self.run.space,
            ledger.trials,
            self.out,
            elapsed_s=now.elapsed_s,
            axes=self.axes,
            formats=self.formats if figures else (),
            jobdir=self.run.jobdir,
            went=now.went,
            reload_s=reload_s,
        )
        return page


def _watch(order: _Order, *, open_page: bool) -> None:
    """Until the run has ended. Figures take seconds, so they are drawn at the end."""
    from hpcho.report import check_formats  # noqa: PLC0415 - `hpcho --help` does without
    from hpcho.standing import Ledger  # noqa: PLC0415 - as above

    check_formats(order.formats)
    run, ledger, cursor, page = order.run, Ledger(), None, None
    try:
        while True:
            cursor, changed = run.store.changes(cursor)
            ledger.apply(changed)
            ledger.forget(run.store.unreadable)
            if order.standing(ledger).has_ended:
                break
            if changed or page is None:
                is_first, page = page is None, order.render(ledger, reload_s=WATCH_S, figures=False)
                if is_first:
                    say(f"wrote {page}, and write it again as trials end; Ctrl-C ends that")
                    _open(page, wanted=open_page)
            time.sleep(WATCH_S)
    except KeyboardInterrupt:
        # What is left opens itself no more.
        order.render(ledger, figures=False)
        raise
    written = order.render(ledger)
    say(f"wrote {written}: the run has ended")
    _open(written, wanted=open_page and page is None)


def _open(page: Path, *, wanted: bool) -> None:
    if not wanted:
        return
    import webbrowser  # noqa: PLC0415 - rarely needed

    if not webbrowser.open(page.absolute().as_uri()):
        warn("no browser here; open the file by hand")
