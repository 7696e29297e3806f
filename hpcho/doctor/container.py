"""Apptainer, the image that workers are to run in, and how hpcho in an image calls SLURM."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import hpcho
from hpcho import container, inside
from hpcho.doctor.finding import Finding, failed, ok, warning
from hpcho.errors import LauncherError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcho.experiment import Experiment

__all__ = ["image", "in_job", "machine", "python"]

ANSWER_S = 30.0
LIMIT = Path("/proc/sys/user/max_user_namespaces")
NAMESPACES = "ask the site's administrators for user namespaces, or for Apptainer with its setuid part"
DRIVER = "libcuda.so.1"


def machine() -> Iterator[Finding]:
    """Apptainer where this is no image; the image, and its way to SLURM, where it is one."""
    here = inside.image_here()
    if here is None:
        yield from _apptainer()
    else:
        yield ok("image", f"hpcho {hpcho.__version__} runs from {here}")
        yield _slurm()


def image(experiment: Experiment, folder: Path) -> Iterator[Finding]:
    """Whether the image of ``container:`` is there and starts here. ``folder`` is the YAML's."""
    spec = container.of(experiment)
    if spec is None or (spec.image == container.SELF and inside.image_here() is not None):
        return
    try:
        path = container.image_of(spec, folder)
        if inside.image_here() is None:
            if not os.access(path, os.R_OK):
                mend = "mend container.image; it must be a file that compute nodes see under the same path"
                yield failed("image", f"{path} {'cannot be read' if path.exists() else 'is not there'}", mend)
                return
            container.check_version(path, hpcho.__version__)
    except LauncherError as error:
        words, _, mend = str(error).partition(". ")
        yield failed("image", words, mend or "mend container.image")
        return
    if inside.image_here() is None and _program() is not None:
        yield ok("image", f"{path} starts here, with hpcho {hpcho.__version__}")
    else:
        yield ok("image", f"{path}, which only compute nodes can try")


def python(experiment: Experiment, yaml: Path, folder: Path) -> str | None:
    """Shell text for the Python of a job in ``folder``, in the image of workers; None where they need none.

    Raises LauncherError.
    """
    spec = container.of(experiment)
    if spec is None:
        return None
    text = container.python_script(
        spec,
        image=container.image_of(spec, yaml.parent),
        folders=[folder.parent, yaml.parent],
        version=hpcho.__version__,
    )
    path = folder / "python"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o700)
    return shlex.quote(str(path))


def in_job(gpus: int) -> Iterator[Finding]:
    """What a job sees that runs in an image. ``gpus``: how many it has asked for."""
    here = inside.image_here()
    if here is None:
        return
    yield ok("image", f"{here} starts there")
    if not gpus:
        return
    try:
        ctypes.CDLL(DRIVER)
    except OSError as error:
        mend = "`container: {nv: true}`, and see that `nvidia-smi` works in a job outside the image"
        yield warning("GPU driver", f"the image does not see the NVIDIA driver: {error}", mend)
    else:
        yield ok("GPU driver", "the image sees the NVIDIA driver")


def _apptainer() -> Iterator[Finding]:
    program = _program()
    if program is None:
        yield ok("Apptainer", "none here (neither apptainer nor singularity on PATH); only `container:` needs it")
        return
    try:
        version = _said([program, "--version"])
    except LauncherError as error:
        yield warning("Apptainer", str(error), f"`{program} --version` by hand, and the site's documentation")
        return
    yield ok("Apptainer", version)
    if os.geteuid() == 0 or _has_setuid(program):
        return
    unshare = shutil.which("unshare")
    try:
        if LIMIT.exists() and int(LIMIT.read_text(encoding="ascii")) == 0:
            yield failed("namespaces", f"users may have no namespaces of their own ({LIMIT} is 0)", NAMESPACES)
            return
        if unshare is not None:
            _said([unshare, "--user", "--map-root-user", "true"])
    except LauncherError as error:
        yield failed("namespaces", f"a user's namespace cannot be made: {error}", NAMESPACES)
        return
    yield ok("namespaces", "users may have their own")


def _slurm() -> Finding:
    """The way to SLURM's commands from inside."""
    way, why = os.environ.get("HPCHO_SLURM"), os.environ.get("HPCHO_SLURM_WHY", "")
    if "HPCHO_RELAY" not in os.environ:
        return warning("launcher", "was not used, so SLURM cannot be called", inside.needs_launcher("SLURM"))
    if way == "bind":
        return ok("way to SLURM", f"bind: the clients of this machine are called inside ({why})")
    return ok("way to SLURM", f"relay: the launcher outside calls the clients of this machine ({why})")


def _program() -> str | None:
    return shutil.which("apptainer") or shutil.which("singularity")


def _has_setuid(program: str) -> bool:
    """Whether Apptainer was installed with its setuid part, which needs no namespaces of users."""
    prefix = Path(program).resolve().parent.parent
    with contextlib.suppress(OSError):
        for starter in (*prefix.glob("libexec/*/bin/starter-suid"), *prefix.glob("lib*/*/bin/starter-suid")):
            if starter.stat().st_mode & 0o4000:
                return True
    return False


def _said(command: list[str]) -> str:
    """What a command prints. Raises LauncherError."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LauncherError(str(error)) from None
    if done.returncode != 0:
        raise LauncherError(done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}")
    return done.stdout.strip()
