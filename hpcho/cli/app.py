"""The Typer application: every command, in the order in which a user meets them."""

from collections.abc import Sequence
from typing import Annotated

import typer

from hpcho import __version__
from hpcho.cli import changing, checking, reading, running, starting
from hpcho.cli.doctor import doctor
from hpcho.cli.exporting import export

__all__ = ["app", "invoke"]

app = typer.Typer(
    name="hpcho",
    add_completion=False,
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


for command in (
    starting.init,
    checking.check,
    running.run,
    reading.status,
    reading.trials,
    reading.best,
    reading.report,
    export,
    changing.enqueue,
    changing.requeue,
    running.stop,
    running.worker,
    doctor,
    starting.schema,
):
    app.command()(command)


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Raises whatever goes wrong."""
    line = typer.main.get_command(app)
    try:
        with line.make_context("hpcho", list(arguments) or ["--help"]) as context:
            code = line.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    return code if isinstance(code, int) else 0
