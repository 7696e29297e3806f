"""``hpcho doctor``: what works here and what does not, each with its mend."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcho.cli.arguments import AsJson, Settings
from hpcho.cli.output import print_json, say

if TYPE_CHECKING:
    from hpcho.doctor import Finding

__all__ = ["doctor"]

LEVEL_WIDTH, NAME_WIDTH = 8, 14
COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(
    experiment: Annotated[
        Path | None,
        typer.Argument(metavar="EXPERIMENT", help="The YAML file: what it needs, too.", show_default=False),
    ] = None,
    settings: Settings = None,
    as_json: AsJson = False,
    no_job: Annotated[bool, typer.Option("--no-job", help="Send no job to a compute node.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", min=1, metavar="SECONDS", help="How long that job may wait in the queue.")
    ] = 60.0,
) -> int:
    """Look for what does not work on this machine or cluster, and say how to mend it.

    With EXPERIMENT it also looks at its job directory and store, and has a short job, or each host of `launcher: ssh`,
    see from there what a worker needs. Exit code 1 when something failed.
    """
    from hpcho.doctor import Level  # noqa: PLC0415 - heavy: `hpcho --help` does without

    found = _findings(experiment, settings or [], None if no_job else wait)
    shown = list(found) if as_json else list(_shown(found))
    failures = sum(finding.level is Level.FAILED for finding in shown)
    if as_json:
        print_json(
            {"findings": [{**asdict(finding), "level": str(finding.level)} for finding in shown], "failed": failures}
        )
    else:
        say(_conclusion(shown, failures))
    return 1 if failures else 0


def _findings(path: Path | None, settings: list[str], wait_s: float | None) -> Iterator["Finding"]:
    from hpcho import doctor  # noqa: PLC0415 - as in doctor
    from hpcho.cli import launching  # noqa: PLC0415 - as in doctor
    from hpcho.doctor.finding import failed, ok  # noqa: PLC0415 - as in doctor
    from hpcho.errors import UsageError  # noqa: PLC0415 - as in doctor
    from hpcho.opening import open_experiment  # noqa: PLC0415 - as in doctor

    yield from doctor.machine()
    if path is None:
        return
    try:
        opened = open_experiment(path, settings)
    except UsageError as error:
        yield failed("experiment", str(error).replace("\n", "; "), f"mend {path}; `hpcho check {path}` says the same")
        return
    yield ok("experiment", f"{opened.experiment.name}: nothing is wrong with {path}")
    yield from doctor.experiment(
        opened.experiment,
        opened.jobdir,
        path.absolute(),
        job_wait_s=wait_s,
        machines=lambda: launching.node_addresses(opened.experiment, path),
    )


def _shown(found: Iterable["Finding"]) -> Iterator["Finding"]:
    """Each is printed as soon as it is known: a job may take its time. What another machine tells has a heading."""
    heading = ""
    for finding in found:
        place, _, name = finding.name.rpartition(": ")
        if place != heading:
            heading = place
            say(f"\n{place}:" if place else "")
        level = f"{finding.level!s:<{LEVEL_WIDTH}}"
        if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
            level = typer.style(level, fg=COLORS[str(finding.level)])
        indent = " " * (LEVEL_WIDTH + NAME_WIDTH + 3)
        text = _wrapped(finding.words, indent)
        if finding.mend:
            text += f"\n{indent}-> {_wrapped(finding.mend, indent + ' ' * 3)}"
        say(f"{level} {name:<{NAME_WIDTH}}  {text}")
        yield finding


def _wrapped(text: str, indent: str) -> str:
    """The text in lines that a terminal holds, all but the first indented; elsewhere in as many as it has."""
    width = shutil.get_terminal_size().columns - len(indent) if sys.stdout.isatty() else sys.maxsize
    lines = [
        part
        for line in text.splitlines()
        for part in textwrap.wrap(line, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]
    ]
    return f"\n{indent}".join(lines)


def _conclusion(shown: list["Finding"], failures: int) -> str:
    from hpcho.doctor import Level  # noqa: PLC0415 - as in doctor

    warnings = sum(finding.level is Level.WARNING for finding in shown)
    if not failures and not warnings:
        return "\nNothing is wrong."
    counts = [f"{failures} failed" if failures else "", f"{warnings} to know about" if warnings else ""]
    return f"\n{', '.join(filter(None, counts))}; -> says what to do."
