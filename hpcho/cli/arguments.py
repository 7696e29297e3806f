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

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting of the YAML, as launcher.local.workers=4."),
]
