"""Commands that start and stop work: run, stop, worker."""

from pathlib import Path
from typing import Annotated

import typer

from hpcho.cli.arguments import ExperimentOrJobDir, ExperimentPath, Settings

__all__ = ["run", "stop", "worker"]


def run(
    experiment: ExperimentPath,
    settings: Settings = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Archive the old run (nothing is deleted) and start anew.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background and return at once.")] = False,
) -> int:
    """Run the experiment, or resume it.

    Ctrl-C once lets running trials finish, twice gives them back; the same command goes on later. While another
    `hpcho run` is going, this one only looks on.
    """
    from hpcho.cli.run import run as run_experiment  # noqa: PLC0415 - heavy: `hpcho --help` does without

    return run_experiment(experiment, settings or [], fresh=fresh, detach=detach)


def stop(
    experiment: ExperimentOrJobDir,
    now: Annotated[bool, typer.Option("--now", help="Give running trials back instead of finishing them.")] = False,
) -> int:
    """End the run, from anywhere that sees its job directory.

    Running trials finish first. Nothing is lost; `hpcho run` goes on.
    """
    from hpcho.cli.run import stop as stop_experiment  # noqa: PLC0415 - as in run

    return stop_experiment(experiment, now=now)


def worker(
    experiment: ExperimentOrJobDir,
    max_trials: Annotated[
        int | None, typer.Option("--max-trials", min=1, metavar="N", help="Leave after N trials.", show_default=False)
    ] = None,
    idle_exit: Annotated[
        float | None,
        typer.Option(
            "--idle-exit", min=0, metavar="SECONDS", help="Leave after so long without a trial.", show_default=False
        ),
    ] = None,
) -> int:
    """Evaluate a run's trials: one worker, by hand.

    It works anywhere that sees the job directory.
    """
    from hpcho.cli.opening import find_job_dir  # noqa: PLC0415 - as in run
    from hpcho.errors import UsageError  # noqa: PLC0415
    from hpcho.worker import serve  # noqa: PLC0415

    jobdir = find_job_dir(Path(experiment))
    if jobdir.read_record() is None:
        raise UsageError(f"{experiment}: no run yet: `hpcho run {experiment}` starts one, and workers join it")
    return serve(jobdir, max_trials=max_trials, idle_exit_s=idle_exit)
