"""Commands for whoever writes an experiment: init, schema."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

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
KINDS = {
    "python": "a call of a Python function",
    "hyperas": "a classic hyperas file, with its {{uniform(0, 1)}} templates",
    "command": "a run of any program",
    "slurm": "a call of a Python function, in SLURM jobs",
}
SUFFIX = ".txt"
"""Template files are kept as text, as they are the user's code and not ours; the suffix is taken off."""


def init(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Made if it is not there.", show_default=False)
    ] = None,
    template: Annotated[
        Literal["python", "hyperas", "command", "slurm"] | None,
        typer.Option(
            help="What a trial is: a function, a file, a program; or a function, by SLURM jobs.  [default: python]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a small working experiment to start from.

    On a terminal it asks for what is not given; without DIR elsewhere it is an error.
    """
    if directory is None:
        directory, asked = _ask(template)
        template = asked
    template = template or "python"
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


def _ask(template: str | None) -> tuple[Path, Any]:
    """Folder and template from whoever sits at the terminal. Raises UsageError where nobody does."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("name the folder: `hpcho init DIR`; it asks for it on a terminal alone")
    folder = Path(typer.prompt("Folder", default="first"))
    if template is None:
        say("What is a trial?")
        for name, words in KINDS.items():
            say(f"  {name:<8}  {words}")
        while (template := typer.prompt("Template", default="python")) not in KINDS:
            say(f"{template!r} is none of {', '.join(KINDS)}")
    return folder, template


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
