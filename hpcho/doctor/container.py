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
HOST_DRIVER = Path("/proc/driver/nvidia/version")
SHIMS = Path("/opt/hpcho/relay")


def machine() -> Iterator[Finding]:
    """Apptainer; and where this is an image, that, its GPU driver and its ways to SLURM."""
    here = inside.image_here()
    if here is None:
        yield from _apptainer()
        return
    if program := os.environ.get("HPCHO_LAUNCHER_PROGRAM"):
        yield ok("Apptainer", program)
    yield ok("namespaces", f"this image runs {_namespace()}")
    yield ok("image", f"hpcho {hpcho.__version__} runs from {here}")
    yield _driver() if HOST_DRIVER.exists() else ok("GPU driver", "none on this machine; a job with GPUs has its own")
    yield from _slurm()


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
    yield ok("image", f"{here} starts there, {_namespace()}")
    if gpus:
        yield _driver()


def _driver() -> Finding:
    """Whether programs in this image reach the NVIDIA driver of the machine."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError as error:
        mend = "`container: {nv: true}`, HPCHO_NV=1 for the launcher; and does `nvidia-smi` work outside the image?"
        return warning("GPU driver", f"the image does not see the NVIDIA driver: {error}", mend)
    return ok("GPU driver", "the image sees the NVIDIA driver")


def _namespace() -> str:
    """How Apptainer made this image's room: the first namespace of users has all of them in it."""
    is_first = Path("/proc/self/uid_map").read_text(encoding="ascii").split() == ["0", "0", str(2**32 - 1)]
    return "without a user's namespace: as root, or by Apptainer's setuid part" if is_first else "in a user's namespace"


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


def _slurm() -> Iterator[Finding]:
    """The two ways to SLURM's commands from inside, both tried, and the one that is taken."""
    way, why = os.environ.get("HPCHO_SLURM"), os.environ.get("HPCHO_SLURM_WHY", "")
    if "HPCHO_RELAY" not in os.environ:
        yield warning("launcher", "was not used, so SLURM cannot be called", inside.needs_launcher("SLURM"))
        return
    if tried := os.environ.get("HPCHO_SLURM_TRIED"):
        works, _, words = tried.partition(" ")
        if works == "bind":
            yield ok("SLURM by bind", f"works: {words}")
        else:
            yield ok("SLURM by bind", f"does not work, and need not where the relay does: {words}")
        yield _relay()
    if way == "bind":
        yield ok("way to SLURM", f"bind: the clients of this machine are called inside ({why})")
    else:
        yield ok("way to SLURM", f"relay: the launcher outside calls the clients of this machine ({why})")


def _relay() -> Finding:
    """Whether the launcher's relay answers, whichever way is taken."""
    command = ["env", "HPCHO_SLURM=relay", str(SHIMS / "sinfo"), "--noheader", "--format=%P"]
    try:
        _said(command)
    except LauncherError as error:
        return failed("SLURM by relay", f"does not work: {error}", "try `sinfo` outside; if that works, start again")
    return ok("SLURM by relay", "works: the launcher outside had sinfo answer")


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
