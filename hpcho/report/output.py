"""Writes a report: the page, the figures and the table, each file as a whole or not at all."""

from __future__ import annotations

import io
import os
import time
from typing import TYPE_CHECKING

from hpcho.errors import UsageError
from hpcho.report.files import Folders
from hpcho.report.island import island
from hpcho.report.page import page
from hpcho.report.summary import Summary, choose_pair, summarise
from hpcho.report.table import write_csv

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpcho.experiment.schema import Experiment
    from hpcho.jobdir import JobDir
    from hpcho.report.figures import Picture
    from hpcho.space import Space
    from hpcho.trial import Trial

__all__ = ["FORMATS", "check_formats", "render"]

FORMATS = ("svg", "png", "pdf")
"""How figures can be written."""
USUAL = ("svg", "png")


def render(
    experiment: Experiment,
    space: Space,
    trials: Sequence[Trial],
    out: Path,
    *,
    elapsed_s: float,
    axes: tuple[str, str] | None = None,
    formats: Sequence[str] = USUAL,
    jobdir: JobDir | None = None,
    went: str | None = None,
    reload_s: float | None = None,
) -> list[Path]:
    """Write report.html, trials.csv and figures/ into the folder ``out``; returns the files, the page first.

    Works on any trials, also half-way through a run; earlier files are replaced. ``elapsed_s``: how long controllers
    have run; ``axes``: the two parameters of the figures of two; ``formats``: the figures' (none: none are drawn). With
    ``jobdir`` the page shows the ends of the trials' logs and links their attachments. ``went`` says in words how the
    run stands; ``reload_s``: the page opens itself again after so many seconds. Raises UsageError for axes or formats
    that there are not, and where ``out`` cannot be written.
    """
    check_formats(formats)
    summary = summarise(experiment, space, trials, elapsed_s=elapsed_s, made_at=time.time())
    choose_pair(summary, axes)
    drawn = _drawn(summary, axes, formats) if formats else []
    folders = Folders(jobdir, out) if jobdir else None
    ordered = sorted(trials, key=lambda trial: trial.tid)
    data = island(summary, ordered, folders, axes)
    files = {
        out / "report.html": page(summary, data, went=went, reload_s=reload_s).encode(
            "utf-8", errors="backslashreplace"
        ),
        out / "trials.csv": _csv(space, summary),
    }
    for form in formats:
        files |= {out / "figures" / f"{picture.stem}.{form}": picture.files[form] for picture in drawn}
    try:
        for folder in {path.parent for path in files}:
            folder.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            _replace(path, content)
    except OSError as error:
        raise UsageError(
            f"the report cannot be written to {out}: {error.strerror}; choose another folder with --out"
        ) from error
    return list(files)


def check_formats(formats: Sequence[str]) -> None:
    """Raises UsageError for one that figures cannot be written in."""
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise UsageError(f"figures cannot be written as {', '.join(unknown)}; choose from {', '.join(FORMATS)}")


def _drawn(summary: Summary, axes: tuple[str, str] | None, formats: Sequence[str]) -> list[Picture]:
    # matplotlib takes half a second to import: what draws nothing does without.
    from hpcho.report.figures import pictures  # noqa: PLC0415 - see above

    return list(pictures(summary, axes, formats))


def _csv(space: Space, summary: Summary) -> bytes:
    text = io.StringIO(newline="")
    write_csv(space, summary.rows, text)
    return text.getvalue().encode()


def _replace(path: Path, content: bytes) -> None:
    """A reader sees the old file or the new one, never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
