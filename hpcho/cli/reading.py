"""Commands that read a run and change nothing: status, trials, best."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hpcho.cli.arguments import AsJson, ExperimentOrDatabase, ExperimentOrJobDir, ExpKey, PasswordFile
from hpcho.cli.output import number, print_json, say, seconds, table, terminal_width
from hpcho.errors import RunFailed, UsageError
from hpcho.opening import open_run, open_trials

__all__ = ["best", "status", "trials"]


def status(
    experiment: ExperimentOrJobDir,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look every second until the run has ended.")] = False,
) -> None:
    """Show where the experiment stands."""
    from hpcho import standing  # noqa: PLC0415 - `hpcho --help` does without
    from hpcho.cli.standing_text import standing_text  # noqa: PLC0415 - as above
    from hpcho.cli.watching import watch as look_on  # noqa: PLC0415 - as above

    if as_json and watch:
        raise UsageError("--json prints one document and --watch many: choose one")
    if watch:
        look_on(experiment)
        return
    with open_run(experiment) as run:
        now = standing.read(run.experiment.name, run.space, run.store, goals=run.experiment.goals)
    if as_json:
        print_json(now.to_json())
    else:
        say(standing_text(now, run.experiment.budget, width=terminal_width()))


def trials(
    experiment: ExperimentOrDatabase,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead, with a column a param.")] = False,
    exp_key: ExpKey = None,
    password_file: PasswordFile = None,
) -> None:
    """List the trials, one row each."""
    from hpcho.cli.trial_table import trial_table  # noqa: PLC0415 - `hpcho --help` does without
    from hpcho.report.table import param_names, rows, write_csv  # noqa: PLC0415 - as above

    if as_json and as_csv:
        raise UsageError("--json and --csv: choose one")
    with open_trials(experiment, exp_key, password_file) as run:
        listed = rows(run.space, run.store.changes()[1], run.experiment.goals)
    if as_json:
        print_json([row.to_json() for row in listed])
    elif as_csv:
        write_csv(run.space, listed, sys.stdout)
    elif listed:
        say(trial_table(listed, param_names(run.space, listed), terminal_width()))
    else:
        say("no trials yet")


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
    """Show the best trial, or give back the model that it saved.

    Where several numbers are minimised, it shows the Pareto set: the trials that no other beats in all of them.
    """
    from hpcho.cli.export import export as export_model  # noqa: PLC0415 - `hpcho --help` does without
    from hpcho.report.table import best as best_of  # noqa: PLC0415 - as above
    from hpcho.report.table import param_names  # noqa: PLC0415 - as above

    if attachment is not None and export is None:
        raise UsageError("--attachment says what --export writes: give --export FILE too")
    with open_trials(experiment, exp_key, password_file) as run:
        trials, goals = run.store.changes()[1], run.experiment.goals
        document, names = best_of(run.space, trials, goals), param_names(run.space)
        if document is None:
            short = "; ".join(goals.account(trials))
            why = f"no trial is feasible yet: {short}" if short else "no trial has a loss yet"
            raise RunFailed(f"{run.experiment.name}: {why}; `hpcho trials {experiment}` lists them")
        written = export_model(run, document["tid"], export, attachment, force=force) if export else None
    if as_json:
        print_json(document)
    elif written:
        say(f"wrote {export}: {written} of trial {document['tid']}, loss {number(document['loss'])}")
    elif "pareto" in document:
        say(_pareto_text(document["pareto"], names))
        for words in goals.account(trials):
            say(words)
    else:
        say(_best_text(document, run.jobdir.trial(document["tid"])))


def _pareto_text(front: Sequence[dict[str, Any]], params: Sequence[str]) -> str:
    """The Pareto set, a row a trial."""
    goals = list(front[0]["values"]) if front else []
    rows = [
        [
            str(one["tid"]),
            *(number(one["values"][goal]) for goal in goals),
            *(number(one["params"].get(n)) for n in params),
        ]
        for one in front
    ]
    return table(["trial", *goals, *params], rows)


def _best_text(document: dict[str, Any], folder: Path) -> str:
    lines = [["trial", str(document["tid"])], ["loss", number(document["loss"])]]
    more = {name: value for name, value in document.get("values", {}).items() if name not in ("loss", "duration_s")}
    lines += [[name, number(value)] for name, value in more.items()]
    lines.append(["time", seconds(document["duration_s"])])
    lines += [[f"  {name}", number(value)] for name, value in document["params"].items()]
    if document["result"]["attachments"]:
        lines.append(["attachments", ", ".join(document["result"]["attachments"])])
    if folder.is_dir():
        lines.append(["folder", str(folder)])
    width = max(len(key) for key, _ in lines)
    return "\n".join(f"{key:<{width}}  {value}".rstrip() for key, value in lines)
