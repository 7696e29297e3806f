"""Workers in an Apptainer image: which one, and how a worker is started in it.

A worker's Python is a small script in the job directory, which finds Apptainer on the machine that it is called on.
Whatever starts workers needs to know no more than that path.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.errors import LauncherError
from hpcho.inside import CONTROLLER, SELF, image_here, versions_differ

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcho.experiment import Experiment
    from hpcho.experiment.containers import ContainerSpec

__all__ = [
    "PYTHON",
    "SELF",
    "check_version",
    "image_of",
    "of",
    "python_script",
]

PYTHON = "/opt/hpcho/bin/python"
"""hpcho's Python inside of an image."""
START_S = 120.0
"""How long Apptainer may take to start an image, from a slow disk."""
WANTED = r"(SLURM|SUBMITIT|CUDA|HPCHO|NVIDIA|ROCR|HIP|OMP|TF|KERAS|XLA|NCCL)_[A-Za-z0-9_]*|TZ|GPU_DEVICE_ORDINAL"
"""Of the environment of a job, what workers in the image get."""

SCRIPT = r"""#!/bin/sh
# Python in an Apptainer image, as this run's workers are started: `hpcho run` has written it, and writes it anew.
# Of the environment only what WANTED names comes through, and what has APPTAINERENV_ before its name.
image={image}
WANTED='{wanted}'

fail() {{ # CODE WORDS...
    code=$1
    shift
    printf 'hpcho: on %s: %s\n' "$(uname -n)" "$*" >&2
    exit "$code"
}}

program=$(command -v apptainer) || program=$(command -v singularity) ||
    fail 127 'neither apptainer nor singularity is on PATH: launcher.slurm.setup can load it, ["module load apptainer"]'
[ -e "$image" ] || fail 126 "there is no image $image here: container.image must be a file that compute nodes see, too"
[ -r "$image" ] || fail 126 "the image $image cannot be read"
handed=APPTAINERENV_
case $program in
*singularity) case $("$program" --version) in apptainer*) ;; *) handed=SINGULARITYENV_ ;; esac ;;
esac
export {controller}={version}
unset HPCHO_RELAY HPCHO_RELAY_NAMES HPCHO_LAUNCHER HPCHO_SLURM HPCHO_SLURM_WHY
for name in $(env | sed -nE "s/^($WANTED)=.*/\1/p"); do
    eval "export \"$handed$name=\${{$name-}}\"" # a name of letters, digits and _
done
set -- --bind {binds} "$image" {python} "$@"
if [ -n "${{TMPDIR-}}" ] && [ -d "$TMPDIR" ]; then
    case $TMPDIR in
    *[,:]*) ;;
    *)
        export "${{handed}}TMPDIR=$TMPDIR"
        set -- --bind "$TMPDIR" "$@"
        ;;
    esac
fi
{nv}exec "$program" --quiet exec --cleanenv "$@"
"""
NV = """[ ! -e /proc/driver/nvidia/version ] || set -- --nv "$@"
"""


def of(experiment: Experiment, environ: Mapping[str, str] = os.environ) -> ContainerSpec | None:
    """The image that SLURM jobs are to run in: hpcho's own where it runs from one and nothing else is said.

    None where they need none, and with other launchers: their workers run where hpcho does.
    """
    slurm = experiment.launcher.slurm
    if slurm is None:
        return None
    if experiment.container is None and slurm.python is None and image_here(environ) is not None:
        from hpcho.experiment.containers import ContainerSpec  # noqa: PLC0415 - pydantic is slow, and --help needs none

        return ContainerSpec(image=SELF)
    return experiment.container


def image_of(spec: ContainerSpec, folder: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The path of the image; ``folder`` is the YAML's. Raises LauncherError for ``self`` outside of an image."""
    if spec.image != SELF:
        return (folder / Path(spec.image).expanduser()).absolute()
    image = image_here(environ)
    if image is None:
        raise LauncherError(
            "container.image is self, and this hpcho does not run from an image: name the file, or start hpcho by "
            "the launcher that `./hpcho.sif install ~/bin` installs"
        )
    return Path(image)


def python_script(spec: ContainerSpec, *, image: Path, folders: Sequence[Path], version: str) -> str:
    """The text of a script that is Python in the image. ``folders`` are seen inside, beside the spec's own binds.

    ``version`` is the controller's. Raises LauncherError for a folder that Apptainer cannot take.
    """
    for folder in folders:
        if "," in str(folder) or ":" in str(folder):
            raise LauncherError(f"{folder}: Apptainer takes no folder with a comma or colon in its name: rename it")
    binds = list(dict.fromkeys([*map(str, folders), *spec.binds]))
    return SCRIPT.format(
        image=shlex.quote(str(image)),
        wanted=WANTED,
        controller=CONTROLLER,
        version=shlex.quote(version),
        binds=" --bind ".join(map(shlex.quote, binds)),
        python=PYTHON,
        nv=NV if spec.nv else "",
    )


def check_version(image: Path, version: str) -> None:
    """See that the hpcho in the image is the controller's. Raises LauncherError.

    Where there is no Apptainer, and inside of an image, only the workers can tell, and do.
    """
    program = shutil.which("apptainer") or shutil.which("singularity")
    if program is None or image_here() is not None:
        return
    command = [
        program,
        "--quiet",
        "exec",
        "--cleanenv",
        str(image),
        PYTHON,
        "-c",
        "import hpcho; print(hpcho.__version__)",
    ]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LauncherError(f"the image {image} cannot be started here: {error}") from None
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        raise LauncherError(
            f"the image {image} does not start, or has no hpcho in it: {last}. "
            f"`apptainer test {shlex.quote(str(image))}` tries it; `hpcho doctor` says what Apptainer lacks here"
        )
    there = done.stdout.strip()
    if there != version:
        raise LauncherError(versions_differ(f"the image {image}", there, version))
