"""Commands for whoever writes an experiment: init, schema."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from hpcho.cli.output import say
from hpcho.errors import UsageError

__all__ = ["init", "schema"]

NEXT = {
    "python": "It needs nothing but hpcho. Put your own training into train.py; experiment.yaml says what is searched.",
    "command": "It needs nothing but hpcho. Put your own program into `command:` of experiment.yaml.",
    "slurm": "It needs nothing but hpcho on a cluster: partition and account may have to go into experiment.yaml.",
    "hyperas": "It trains Keras models: `pip install 'hpcho[examples]'` brings what that needs, without hyperas.",
}
SUFFIX = ".txt"
"""Template files are kept as text, as they are the user's code and not ours; the suffix is taken off."""


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.", show_default=False)],
    template: Annotated[
        Literal["python", "hyperas", "command", "slurm"],
        typer.Option(help="What a trial is: a function, a file, a program; or a function, by SLURM jobs."),
    ] = "python",
) -> None:
    """Write a small working experiment to start from."""
    texts = {file.name.removesuffix(SUFFIX): file.read_text(encoding="utf-8") for file in _template(template)}
    _refuse_to_overwrite(directory, texts)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with (directory / name).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}") from error
    experiment = shlex.quote(str(directory / "experiment.yaml"))
    say(f"Wrote {', '.join(str(directory / name) for name in texts)}.\n{NEXT[template]}\n\nNext:")
    if template == "slurm":
        say(f"  hpcho doctor {experiment}   # what works here and on a compute node, and what does not")
    say(f"  hpcho check {experiment}    # what will be run, and three sample params")
    say(f"  hpcho run {experiment}      # Ctrl-C is safe: the same command goes on")
    say(f"  hpcho report {experiment}   # what was learnt, as one HTML file")


def _template(name: str) -> list[Path]:
    return sorted((Path(__file__).parent / "templates" / name).glob(f"*{SUFFIX}"))


def _refuse_to_overwrite(directory: Path, texts: dict[str, str]) -> None:
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file; name a folder")
    there = [str(directory / name) for name in texts if (directory / name).exists()]
    if there:
        raise UsageError(f"{', '.join(there)}: already there, and nothing was written; name another folder")


def schema() -> None:
    """Print the JSON Schema of experiment.yaml, for editors."""
    from hpcho.experiment import json_schema  # noqa: PLC0415 - pydantic: `hpcho --help` does without

    say(json.dumps(json_schema(), indent=2))
