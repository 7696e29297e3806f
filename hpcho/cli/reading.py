"""Commands that read a run and change nothing: status, trials, best, report."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcho.cli.arguments import AsJson, ExperimentOrDatabase, ExperimentOrJobDir, ExpKey, PasswordFile
from hpcho.cli.output import number, print_json, say, seconds, table, warn
from hpcho.errors import RunFailed, UsageError
from hpcho.opening import Run, open_run, open_trials

if TYPE_CHECKING:
    from hpcho.report.table import Row
    from hpcho.standing import Standing

__all__ = ["best", "report", "status", "trials"]

WATCH_S = 1.0
FINAL_STATES = ("finished", "stopped", "failed")
ERROR_WIDTH = 80


def status(
    experiment: ExperimentOrJobDir,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look every second until the run has ended.")] = False,
) -> None:
    """Show where the experiment stands."""
    from hpcho import standing  # noqa: PLC0415 - `hpcho --help` does without

    if as_json and watch:
        raise UsageError("--json prints one document and --watch many: choose one")
    with open_run(experiment) as run:
        if watch:
            _watch(run)
            return
        now = standing.read(run.experiment.name, run.space, run.store)
    if as_json:
        print_json(now.to_json())
    else:
        say(standing_text(now, run.experiment.budget.trials))


def _watch(run: Run) -> None:
    from rich.live import Live  # noqa: PLC0415 - only a watching terminal needs it
    from rich.text import Text  # noqa: PLC0415 - rich: only a terminal needs it

    from hpcho.standing import Ledger, read  # noqa: PLC0415 - as in status

    ledger, cursor = Ledger(), None
    with Live(auto_refresh=False) as live:
        while True:
            cursor, changed = run.store.changes(cursor)
            ledger.apply(changed)
            now = read(run.experiment.name, run.space, run.store, ledger)
            live.update(Text(standing_text(now, run.experiment.budget.trials)), refresh=True)
            if now.state in FINAL_STATES:
                return
            time.sleep(WATCH_S)


def standing_text(now: "Standing", wanted: int | None) -> str:
    """The standing in a few aligned lines."""
    counts = "  ".join(f"{name} {count}" for name, count in now.trials.items() if count) or "none yet"
    lines = [("state", now.state), ("trials", counts + (f"  of {wanted} wanted" if wanted else ""))]
    if now.best:
        shown = "  ".join(f"{name}={number(value)}" for name, value in now.best["params"].items())
        lines += [("best", f"loss {number(now.best['loss'])}  trial {now.best['tid']}"), ("", shown)]
    rate = f"  {float(f'{now.trials_per_hour:.3g}'):g} trials an hour" if now.trials_per_hour else ""
    lines.append(("time", (seconds(now.elapsed_s) or "0s") + rate))
    if now.failures:
        lines.append(("failures", _counts(now.failures)))
    if now.interrupted:
        saved = f"; {now.saved} had saved work, and went on from there" if now.saved else ""
        lines.append(("interrupted", f"{_counts(now.interrupted)}  (tried again{saved})"))
    lines += [
        ("worker", f"{worker['owner']}  trial {worker['tid']}  {seconds(worker['since_s'])}") for worker in now.workers
    ]
    if now.notice:
        lines.append(("waiting" if now.state == "waiting" else "notice", now.notice))
    if now.end and now.end.get("message"):
        lines.append(("ended", now.end["message"]))
    width = max(len(key) for key, _ in lines)
    return "\n".join([now.name, *(f"  {key:<{width}}  {value}" for key, value in lines)])


def _counts(causes: dict[str, int]) -> str:
    return "  ".join(f"{cause} {count}" for cause, count in causes.items())


def trials(
    experiment: ExperimentOrDatabase,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead, with a column a param.")] = False,
    exp_key: ExpKey = None,
    password_file: PasswordFile = None,
) -> None:
    """List the trials, one row each."""
    from hpcho.report.table import param_names, rows, write_csv  # noqa: PLC0415 - `hpcho --help` does without

    if as_json and as_csv:
        raise UsageError("--json and --csv: choose one")
    with open_trials(experiment, exp_key, password_file) as run:
        listed = rows(run.space, run.store.changes()[1])
    if as_json:
        print_json([row.to_json() for row in listed])
    elif as_csv:
        write_csv(run.space, listed, sys.stdout)
    elif listed:
        say(_trial_table(listed, param_names(run.space, listed)))
    else:
        say("no trials yet")


def _trial_table(listed: Sequence["Row"], params: Sequence[str]) -> str:
    """For people: short cells, and of an error its last line, where a traceback says what was wrong."""
    lines = []
    has_interruptions = any(row.interruptions for row in listed)
    for row in listed:
        state = row.state if row.status in (None, "ok") else f"{row.state} ({row.status})"
        error = (row.error or "").strip().splitlines()
        cells = [str(row.tid), state, number(row.loss)]
        cells += [number(row.params.get(name)) for name in params]
        cells += [seconds(row.duration_s), str(row.attempts)]
        cells += [row.interrupted] if has_interruptions else []
        cells += [row.cause or "", error[-1][:ERROR_WIDTH] if error else ""]
        lines.append(cells)
    interrupted = ["interrupted"] if has_interruptions else []
    return table(["tid", "state", "loss", *params, "time", "tries", *interrupted, "cause", "error"], lines)


def best(
    experiment: ExperimentOrDatabase,
    as_json: AsJson = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write the trial's saved model there.", show_default=False),
    ] = None,
    attachment: Annotated[
        str | None,
        typer.Option("--attachment", metavar="NAME", help="Which file, where there are several.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --export replace an existing FILE.")] = False,
    exp_key: ExpKey = None,
    password_file: PasswordFile = None,
) -> None:
    """Show the best trial, or give back the model that it saved."""
    from hpcho.cli.export import export as export_model  # noqa: PLC0415 - `hpcho --help` does without
    from hpcho.report.table import best as best_of  # noqa: PLC0415 - as above

    if attachment is not None and export is None:
        raise UsageError("--attachment says what --export writes: give --export FILE too")
    with open_trials(experiment, exp_key, password_file) as run:
        document = best_of(run.space, run.store.changes()[1])
        if document is None:
            raise RunFailed(f"{run.experiment.name}: no trial has a loss yet; `hpcho trials {experiment}` lists them")
        written = export_model(run, document["tid"], export, attachment, force=force) if export else None
    if as_json:
        print_json(document)
    elif written:
        say(f"wrote {export}: {written} of trial {document['tid']}, loss {number(document['loss'])}")
    else:
        say(_best_text(document, run.jobdir.trial(document["tid"])))


def _best_text(document: dict[str, Any], folder: Path) -> str:
    lines = [["trial", str(document["tid"])], ["loss", number(document["loss"])]]
    lines.append(["time", seconds(document["duration_s"])])
    lines += [[f"  {name}", number(value)] for name, value in document["params"].items()]
    if document["result"]["attachments"]:
        lines.append(["attachments", ", ".join(document["result"]["attachments"])])
    if folder.is_dir():
        lines.append(["folder", str(folder)])
    width = max(len(key) for key, _ in lines)
    return "\n".join(f"{key:<{width}}  {value}".rstrip() for key, value in lines)


def report(
    experiment: ExperimentOrDatabase,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to write [default: runs/NAME/report].", show_default=False),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    axes: Annotated[
        tuple[str, str] | None,
        typer.Option("--axes", metavar="A B", help="Two params for the 3D figure.", show_default=False),
    ] = None,
    exp_key: ExpKey = None,
    password_file: PasswordFile = None,
) -> None:
    """Write the report: one HTML file, figures, trials.csv.

    report.html opens offline; the figures are there as SVG and PNG too.
    """
    from hpcho.report import render  # noqa: PLC0415 - matplotlib: `hpcho --help` does without

    with open_trials(experiment, exp_key, password_file) as run:
        elapsed_s = float((run.store.get("clock") or {}).get("elapsed_s", 0.0))
        trials_so_far = run.store.changes()[1]
        page, *_ = render(
            run.experiment, run.space, trials_so_far, out or run.jobdir.report, elapsed_s=elapsed_s, axes=axes
        )
    say(f"wrote {page}")
    if open_page:
        import webbrowser  # noqa: PLC0415 - rarely needed

        if not webbrowser.open(page.absolute().as_uri()):
            warn("no browser here; open the file by hand")
