"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AsJson",
    "ExpKey",
    "ExperimentOrDatabase",
    "ExperimentOrJobDir",
    "ExperimentPath",
    "IdleExit",
    "MaxTrials",
    "MongoUrl",
    "PasswordFile",
    "Settings",
]

ExperimentPath = Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="The YAML file.", show_default=False)]

ExperimentOrJobDir = Annotated[
    Path,
    typer.Argument(metavar="EXPERIMENT", help="The YAML file, or the job directory (runs/NAME).", show_default=False),
]

ExperimentOrDatabase = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        help="The YAML file, the job directory (runs/NAME), or a database: mongodb://user@host:port/database.",
        show_default=False,
    ),
]

ExpKey = Annotated[
    str | None,
    typer.Option("--exp-key", metavar="KEY", help="Which experiment in the database.", show_default=False),
]

PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="Holds the database's password.", show_default=False),
]

MaxTrials = Annotated[
    int | None, typer.Option("--max-trials", min=1, metavar="N", help="Leave after N trials.", show_default=False)
]

IdleExit = Annotated[
    float | None,
    typer.Option(
        "--idle-exit", min=0, metavar="SECONDS", help="Leave after so long without a trial.", show_default=False
    ),
]

MongoUrl = Annotated[
    str | None,
    typer.Option(
        "--mongo-url", metavar="URL", help="Serve hyperopt's own fmin on this database instead.", show_default=False
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting of the YAML, as launcher.local.workers=4."),
]
