"""What holds where hpcho itself runs in an Apptainer image: a process there has no SLURM, and does not outlive it."""

from __future__ import annotations

import os
import shlex
import time
from typing import TYPE_CHECKING

from hpcho.errors import LauncherError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = [
    "CONTROLLER",
    "SELF",
    "Echo",
    "again",
    "image_here",
    "launcher",
    "needs_launcher",
    "version_flaw",
    "versions_differ",
    "where_to_submit",
]

SELF = "self"
"""In place of an image file: the one that hpcho itself runs from."""
AGAIN = "/opt/hpcho/relay/again"
"""The program inside that has the launcher outside start once more."""
CONTROLLER = "HPCHO_CONTROLLER_VERSION"
"""The variable that tells a worker in an image which hpcho controls it."""
ECHO_S = 0.5
"""So soon after a signal the same one again is its echo."""


def image_here(environ: Mapping[str, str] = os.environ) -> str | None:
    """The image that this process runs in, as a path outside of it; None where it runs in none."""
    inside = environ.get("APPTAINER_CONTAINER") or environ.get("SINGULARITY_CONTAINER")
    return environ.get("HPCHO_IMAGE") or inside if inside else None


def launcher(environ: Mapping[str, str] = os.environ) -> str | None:
    """Shell text that starts hpcho's Python on another machine in the image that this process runs in.

    None where this process runs in none. Raises LauncherError where it was not started by the launcher.
    """
    image = image_here(environ)
    if image is None:
        return None
    path = environ.get("HPCHO_LAUNCHER")
    if not path:
        raise LauncherError(needs_launcher("a job that starts hpcho"))
    return f"env HPCHO_IMAGE={shlex.quote(image)} {shlex.quote(path)} --python"


def needs_launcher(what: str) -> str:
    """Says that ``what`` does not go without the launcher."""
    return (
        f"{what} needs hpcho's launcher, and this is the image without it: `./hpcho.sif install ~/bin`, then "
        "`~/bin/hpcho` instead of `./hpcho.sif`"
    )


def where_to_submit(environ: Mapping[str, str] = os.environ) -> str:
    """What to do where a command of SLURM is not there."""
    if image_here(environ) is not None and "HPCHO_RELAY" not in environ:
        return needs_launcher("SLURM")
    return "run this where jobs can be submitted (a login node)"


def again(log: Path, words: Sequence[str], environ: Mapping[str, str] = os.environ) -> list[str] | None:
    """The command that has the launcher outside start once more, with these words and its output in ``log``.

    What it starts lives on when this process's own image is gone; what runs in an image is gone with the process that
    it was started for. The command ends as what it starts does. None where this process runs in no image, or has no
    launcher.
    """
    relay = environ.get("HPCHO_RELAY")
    if image_here(environ) is None or not relay:
        return None
    return ["env", f"HPCHO_RELAY={relay}", AGAIN, str(log), *words]


class Echo:
    """Tells a signal from its echo. Belongs to one handler.

    A signal to all processes of a job, or of a terminal, reaches one in an image twice: it comes by itself, and
    Apptainer hands on the one that it got.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._is_inside = image_here(environ) is not None
        self._heard: dict[int, float] = {}

    def is_one(self, number: int) -> bool:
        """Whether this signal is another's echo."""
        now = time.monotonic()
        before, self._heard[number] = self._heard.get(number), now
        return self._is_inside and before is not None and now - before < ECHO_S


def version_flaw(version: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Why this worker of hpcho ``version`` cannot work: its controller's is another; None where all is well."""
    controller = environ.get(CONTROLLER, version)
    return None if controller == version else versions_differ(f"the image {image_here(environ)}", version, controller)


def versions_differ(image: str, there: str, here: str) -> str:
    """Says so, and what to do: ``there`` is the version in the image."""
    return (
        f"{image} has hpcho {there}, and the controller is hpcho {here}: they share files and a database, so they must "
        f"be the same. Build the image anew, install hpcho {there} here, or start hpcho from the image"
    )
