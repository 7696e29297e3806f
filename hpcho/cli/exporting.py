"""The command that hands an experiment to another program: export."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hpcho.cli.arguments import ExperimentOrDatabase, ExpKey, PasswordFile
from hpcho.cli.output import say
from hpcho.errors import UsageError
from hpcho.opening import open_trials

if TYPE_CHECKING:
    from hpcho.opening import Run

__all__ = ["export"]


def export(
    experiment: ExperimentOrDatabase,
    to: Annotated[
        Literal["tensorboard", "mlflow"], typer.Option("--to", help="Which program is to read it.", show_default=False)
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="PLACE",
            help="A folder for tensorboard [default: runs/NAME/tensorboard], a tracking URI for mlflow "
            "[default: $MLFLOW_TRACKING_URI, or the file runs/NAME/mlflow.db].",
            show_default=False,
        ),
    ] = None,
    exp_key: ExpKey = None,
    password_file: PasswordFile = None,
) -> None:
    """Hand the trials to TensorBoard or MLflow: params, losses and reported steps.

    Again, half-way through a run or after it, it brings what is there up to date.
    """
    with open_trials(experiment, exp_key, password_file) as run:
        said = _to_tensorboard(run, out) if to == "tensorboard" else _to_mlflow(run, out)
    say(said)


def _to_tensorboard(run: "Run", out: str | None) -> str:
    from hpcho.exports import tensorboard  # noqa: PLC0415 - `hpcho --help` does without

    folder = run.jobdir.path / "tensorboard" if out is None else Path(out)
    if out and "://" in out:
        raise UsageError(f"--out {out}: TensorBoard reads a folder: name one")
    count = tensorboard.write(run.experiment.name, run.space, run.store.changes()[1], folder)
    return f"wrote {_trials(count)} to {folder}\nNext: `tensorboard --logdir {shlex.quote(str(folder))}`"


def _to_mlflow(run: "Run", out: str | None) -> str:
    from hpcho.exports import mlflow  # noqa: PLC0415 - as above

    if out and "://" not in out:
        raise UsageError(
            f"--out {out}: MLflow has no place of that name: a tracking URI is wanted, as http://localhost:5000 or "
            f"sqlite:///{Path(out).absolute()}"
        )
    uri = out or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{run.jobdir.path.absolute()}/mlflow.db"
    source = run.record.get("uuid") or run.experiment.name
    count = mlflow.write(run.experiment.name, source, run.space, run.store.changes()[1], uri)
    look = "" if uri.startswith("http") else f"\nNext: `mlflow ui --backend-store-uri {shlex.quote(uri)}`"
    return f"wrote {_trials(count)}, new or changed, to {uri}{look}"


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count} trials"
