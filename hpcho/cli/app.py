"""The Typer application: every command, in the order in which a user meets them."""

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from hpcho import __version__
from hpcho.cli import changing, checking, reading, reporting, running, starting
from hpcho.cli.doctor import doctor
from hpcho.cli.exporting import export

__all__ = ["app", "invoke"]

COMPLETE = "_HPCHO_COMPLETE"
"""Where a shell whose completion is installed says what it wants to know."""

EPILOG = """\b
Examples:
  hpcho init first
  hpcho run first/experiment.yaml
  hpcho report first/experiment.yaml --open

\b
Exit codes:
  0    done, or stopped as asked
  1    ended by failures, or without a usable trial
  2    the command line, the YAML or a resume is wrong
  3    the store cannot be reached
  4    workers cannot be started
  130  interrupted; the same command goes on

\b
Environment:
  NO_COLOR      no colours
  CI            lines in place of a block that is drawn anew
  HPCHO_MONGOD  the mongod program that runs start for themselves
"""
"""What stands at the end of the help; the first character of a paragraph keeps its lines as they are."""

app = typer.Typer(
    name="hpcho",
    epilog=EPILOG,
    rich_markup_mode=None,  # plain help: quick to start, the same in a terminal, a pipe and the docs
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hpcho {__version__}")
        raise typer.Exit


@app.callback()
def hpcho(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show hpcho's version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show hpcho's own traceback when a command fails.")] = False,
) -> None:
    """Tune hyperparameters: an experiment.yaml in, the best model and a report out.

    EXPERIMENT is the path of the YAML file. `hpcho init DIR` writes a small one that works.
    """
    del version, debug  # both take effect elsewhere: in the callback, and in main


EXAMPLES = {
    "init": ("hpcho init first", "hpcho init first --template slurm", "hpcho init   # asks, on a terminal"),
    "check": ("hpcho check first/experiment.yaml", "hpcho check first/experiment.yaml --trial"),
    "run": (
        "hpcho run first/experiment.yaml",
        "hpcho run first/experiment.yaml --set budget.trials=100 --set launcher.local.workers=4",
        "hpcho run first/experiment.yaml --detach",
    ),
    "status": ("hpcho status first/experiment.yaml --watch", "hpcho status runs/first --json"),
    "trials": (
        "hpcho trials first/experiment.yaml",
        "hpcho trials first/experiment.yaml --csv > trials.csv",
        "hpcho trials mongodb://me@db.example.org:27017/jobs --exp-key mnist --password-file pw",
    ),
    "best": ("hpcho best first/experiment.yaml --json", "hpcho best first/experiment.yaml --export best.keras"),
    "report": ("hpcho report first/experiment.yaml --open", "hpcho report first/experiment.yaml --out /tmp/report"),
    "export": (
        "hpcho export first/experiment.yaml --to tensorboard",
        "hpcho export first/experiment.yaml --to mlflow --out http://localhost:5000",
    ),
    "enqueue": ("hpcho enqueue first/experiment.yaml more.yaml",),
    "requeue": ("hpcho requeue first/experiment.yaml 3 7",),
    "stop": ("hpcho stop first/experiment.yaml", "hpcho stop first/experiment.yaml --now"),
    "worker": ("hpcho worker first/experiment.yaml --max-trials 10",),
    "doctor": ("hpcho doctor", "hpcho doctor first/experiment.yaml"),
    "schema": ("hpcho schema > experiment.schema.json",),
}


SHORT = {
    "export": "Hand the trials to TensorBoard or MLflow.",
    "doctor": "Find what does not work here or on a cluster, and how to mend it.",
}
"""Where a command's first sentence does not fit into the list of commands."""
MORE = {
    "run": """

\b
Exit codes:
  0    the budget is met, or `hpcho stop` has ended it
  1    ended by failures, or without a usable trial
  130  interrupted; the same command goes on
  2 to 4 as in `hpcho --help`
""",
    "export": """

\b
Environment:
  MLFLOW_TRACKING_URI  where --to mlflow writes to, without --out
""",
}
"""What else stands at the end of a command's help."""


def _examples(name: str) -> str:
    """What stands at the end of a command's help; see EPILOG."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[name]) + MORE.get(name, "")


for command in (
    starting.init,
    checking.check,
    running.run,
    reading.status,
    reading.trials,
    reading.best,
    reporting.report,
    export,
    changing.enqueue,
    changing.requeue,
    running.stop,
    running.worker,
    doctor,
    starting.schema,
):
    app.command(epilog=_examples(command.__name__), short_help=SHORT.get(command.__name__))(command)


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Raises whatever goes wrong."""
    line = typer.main.get_command(app)
    if COMPLETE in os.environ:  # a shell asks what may come next
        line.main(list(arguments), prog_name="hpcho", complete_var=COMPLETE)
    try:
        with line.make_context("hpcho", list(arguments) or ["--help"]) as context:
            code = line.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    return code if isinstance(code, int) else 0
