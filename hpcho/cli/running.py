"""Commands that start and stop work: run, stop, worker."""

from pathlib import Path
from typing import Annotated

import typer

from hpcho.cli.arguments import (
    ExperimentOrJobDir,
    ExperimentPath,
    ExpKey,
    IdleExit,
    MaxTrials,
    MongoUrl,
    PasswordFile,
    Settings,
)

__all__ = ["run", "stop", "worker"]


def run(
    experiment: ExperimentPath,
    settings: Settings = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Archive the old run (nothing is deleted) and start anew.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background and return at once.")] = False,
    as_job: Annotated[
        bool, typer.Option("--as-job", help="Go on in a small SLURM job, which submits its successor.")
    ] = False,
    chain: Annotated[
        int | None,
        typer.Option(
            "--chain", min=2, metavar="N", help="With --as-job: submit N jobs now, none later.", show_default=False
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only how it ended.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say each trial's end too.")] = False,
) -> int:
    """Run the experiment, or resume it.

    Ctrl-C once lets running trials finish, twice gives them back; the same command goes on later. While another
    `hpcho run` is going, this one only looks on.
    """
    from hpcho.cli.progress import Talk  # noqa: PLC0415 - as below
    from hpcho.cli.run import run as run_experiment  # noqa: PLC0415 - heavy: `hpcho --help` does without
    from hpcho.errors import UsageError  # noqa: PLC0415 - as above

    if detach and as_job:
        raise UsageError("--detach leaves the controller on this machine, --as-job puts it into a job: choose one")
    if chain is not None and not as_job:
        raise UsageError("--chain N says how many jobs --as-job submits: add --as-job")
    if quiet and verbose:
        raise UsageError("--quiet and --verbose: choose one")
    talk = Talk.QUIET if quiet else Talk.VERBOSE if verbose else Talk.USUAL
    given = settings or []
    return run_experiment(experiment, given, fresh=fresh, detach=detach, as_job=as_job, chain=chain, talk=talk)


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
    experiment: Annotated[
        Path | None,
        typer.Argument(metavar="EXPERIMENT", help="The YAML file, or the job directory.", show_default=False),
    ] = None,
    max_trials: MaxTrials = None,
    idle_exit: IdleExit = None,
    wait: Annotated[
        float,
        typer.Option("--wait", min=0, metavar="SECONDS", help="How long the run's server may be stopped at the start."),
    ] = 0.0,
    mongo_url: MongoUrl = None,
    exp_key: ExpKey = None,
    password_file: PasswordFile = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Unpickle fmin's objective, which runs what is in it.")
    ] = False,
) -> int:
    """Evaluate a run's trials: one worker, by hand.

    It works anywhere that sees the job directory. With --mongo-url it is a worker of a script that calls hyperopt's
    fmin with MongoTrials; it looks for the script's modules in the present folder, and keeps logs below KEY in it.
    """
    from hpcho.cli.database import serve_fmin, tell_of_leaving  # noqa: PLC0415 - as in run
    from hpcho.errors import UsageError  # noqa: PLC0415 - as above
    from hpcho.opening import find_job_dir  # noqa: PLC0415 - as in run
    from hpcho.worker import serve  # noqa: PLC0415 - as above

    if (experiment is None) == (mongo_url is None):
        raise UsageError("name the EXPERIMENT to work for, or a database that hyperopt's fmin uses: --mongo-url URL")
    if mongo_url is not None:
        return serve_fmin(
            mongo_url,
            exp_key,
            password_file,
            trust_pickle=trust_pickle,
            max_trials=max_trials,
            idle_exit_s=idle_exit,
        )
    assert experiment is not None
    if exp_key is not None or password_file is not None or trust_pickle:
        raise UsageError("--exp-key, --password-file and --trust-pickle belong to --mongo-url URL")
    jobdir = find_job_dir(experiment)
    if jobdir.read_record() is None:
        raise UsageError(f"{experiment}: no run yet: `hpcho run {experiment}` starts one, and workers join it")
    return serve(jobdir, max_trials=max_trials, idle_exit_s=idle_exit, wait_s=wait, tell=tell_of_leaving)
