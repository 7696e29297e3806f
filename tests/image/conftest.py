"""Apptainer, the small image built from Apptainer.def as it stands, and who uses it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import testbed

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "containers" / "testbed" / "apptainer"
BUILD_S = 600


class Root(testbed.Person):
    """Root, in a folder of the testbed, with a home that is nobody else's."""

    def __init__(self, name, environment):
        super().__init__(name, environment)
        self.environment |= {"HOME": str(self.folder), "USER": "root", "LOGNAME": "root"}

    def _as(self, env):
        return {"umask": 0o022, "env": {**self.environment, **(env or {})}, "cwd": self.folder}


@pytest.fixture(scope="session")
def apptainer():
    """The path of a program that works; what `./hpcho.sif` itself looks for lies beside it."""
    if os.geteuid() == 0:
        return Path(_made("install"))
    found = shutil.which("apptainer")
    if found is None:
        pytest.skip("needs apptainer on PATH, or root to install it")
    return Path(found)


@pytest.fixture(scope="session")
def image(apptainer):
    """build/hpcho-small.sif: what there is already, if nothing has changed."""
    if os.geteuid() == 0:
        _made("base")
    path = f"{apptainer.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "containers" / "build", "small"],
        env={**os.environ, "PATH": path, "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_S,
    )
    assert done.returncode == 0, done.stderr
    built = ROOT / done.stdout.splitlines()[-1]
    return built if os.geteuid() != 0 or testbed.readable(built) else _for_everybody(built)


@pytest.fixture(params=["root", "user"])
def person(request, apptainer):
    """Each who may use the image: root, and the ordinary user of the testbed."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user too")
    kind = Root if request.param == "root" else testbed.Person
    return kind(request.node.originalname, {"PATH": f"{apptainer.parent}:/usr/bin:/bin"})


def _made(what):
    """What containers/testbed/apptainer made."""
    done = subprocess.run([SCRIPT, what], capture_output=True, text=True, check=False, timeout=BUILD_S)
    if done.returncode != 0:
        pytest.skip(f"needs containers/testbed/apptainer {what}: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()


def _for_everybody(image):
    """A copy where the ordinary user can read it."""
    target = testbed.TESTBED / "apptainer" / image.name
    if not target.exists() or target.stat().st_mtime_ns != image.stat().st_mtime_ns:
        new = target.with_name(f"{image.name}.{os.getpid()}")
        shutil.copy2(image, new)
        new.chmod(0o755)
        new.replace(target)
    return target
