"""The one-host SLURM and the ssh server of slurm/testbed, for tests that run as an ordinary user.

``python tests/testbed.py`` prints the interpreter that this user can run, with hpcho and its environment in it.
"""

import compileall
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "slurm" / "testbed"
TESTBED = Path(os.environ.get("HPCHO_TESTBED", "/var/tmp/hpcho-testbed"))
USER = "hpcho-test"
PATIENCE_S = 120
DAY_S = 24 * 60 * 60


def start(script, **environment):
    """Start ``slurm`` or ``sshd`` of the testbed, or skip; one that runs already is used as it is."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for slurm/testbed")
    done = call(script, "start", **environment)
    if done.returncode != 0:
        pytest.skip(f"needs slurm/testbed/{script}: {done.stderr.strip()[-2000:]}")
    for old in (TESTBED / "work").iterdir():
        with suppress(OSError):
            if old.stat().st_mtime < time.time() - DAY_S:
                shutil.rmtree(old)


def call(script, *arguments, **environment):
    """Call a script of the testbed, as root."""
    return subprocess.run(
        [SCRIPTS / script, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


class Person:
    """The ordinary user, in a fresh folder of theirs. ``environment`` is all that their processes have."""

    def __init__(self, name, environment):
        (TESTBED / "work").mkdir(exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=TESTBED / "work"))
        shutil.chown(self.folder, USER, USER)
        self.python = [str(python())]
        self.environment = {
            "HOME": str(TESTBED / "home"),
            "USER": USER,
            "LOGNAME": USER,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            **environment,
        }

    def run(self, argv, *, env=None, timeout=PATIENCE_S, check=True, **options):
        """A finished command; one that fails is an error that shows what it said, unless ``check`` is false."""
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, **self._as(env), **options}
        done = subprocess.run(list(map(str, argv)), timeout=timeout, check=False, **options)
        assert not check or done.returncode == 0, f"{argv}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def popen(self, argv, *, env=None, **options):
        """A started command, with no process in between: a signal to it reaches it."""
        options = {"stdin": subprocess.DEVNULL, **self._as(env), **options}
        return subprocess.Popen(list(map(str, argv)), **options)

    def write(self, name, text):
        """A file in the folder, theirs."""
        path = self.folder / name
        path.write_text(text)
        shutil.chown(path, USER, USER)
        return path

    def _as(self, env):
        environment = {**self.environment, **(env or {})}
        return {"user": USER, "group": USER, "extra_groups": [], "umask": 0o022, "env": environment, "cwd": self.folder}


def until(condition, timeout=PATIENCE_S, pause=0.2):
    """Wait for something true, and return it."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(pause)
    return value


def python():
    """An interpreter that the ordinary user can run, which finds this checkout's hpcho and this environment's packages.

    What the user cannot read where it lies (below /root, say) is linked or, from another filesystem, copied to the
    testbed's folder; the rest is used in place.
    """
    here = f"{ROOT}\n{sys.prefix}\n{sys.base_prefix}"
    place = TESTBED / "python" / hashlib.sha256(here.encode()).hexdigest()[:12]
    with _alone(place):
        _note(place / "of", here)
        binary = _interpreter(place)
        packages = [_packages(place, Path(folder)) for folder in _site_folders()]
        project = _project(place)
        library = place / "venv" / "lib" / f"python{_version()}" / "site-packages"
        library.mkdir(parents=True, exist_ok=True)
        (place / "venv" / "bin").mkdir(exist_ok=True)
        program = place / "venv" / "bin" / "python"
        if not program.is_symlink():
            program.symlink_to(binary)
        _note(place / "venv" / "pyvenv.cfg", f"home = {binary.parent}\ninclude-system-site-packages = false\n")
        # The checkout's hpcho comes before one that is installed; an environment's own .pth files count too.
        lines = [str(project), *(f"import site; site.addsitedir({str(folder)!r})" for folder in packages)]
        _note(library / "testbed.pth", "".join(f"{line}\n" for line in lines))
        for name, module in {"hpcho": "hpcho.cli", "secantusd-py": "secantus.cli"}.items():
            command = place / "venv" / "bin" / name
            _note(command, f"#!{program}\nfrom {module} import main\n\nmain()\n")
            command.chmod(0o755)
    return program


def readable(path):
    """Whether the ordinary user can read a file, or enter a folder, where it lies."""
    flag = "-x" if Path(path).is_dir() else "-r"
    options = {"user": USER, "group": USER, "extra_groups": [], "cwd": "/"}
    return subprocess.run(["/usr/bin/test", flag, path], check=False, **options).returncode == 0


@contextmanager
def _alone(place):
    """One process at a time makes what the user must be able to read."""
    for folder in (place.parent, place):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mask = os.umask(0o022)
        try:
            yield
        finally:
            os.umask(mask)


def _note(path, text):
    """Write a file that others may be reading, unless it says that already."""
    with suppress(FileNotFoundError):
        if path.read_text() == text:
            return
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)


def _version():
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _site_folders():
    return dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))


def _interpreter(place):
    base = Path(sys.base_prefix)
    binary = Path(os.path.realpath(sys.executable))
    if readable(binary) and readable(os.__file__):
        return binary
    target = place / "base"
    copied = target / "bin" / binary.name
    if not copied.exists():
        library = Path("lib") / f"python{_version()}"
        for shared in (base / "lib").glob("libpython*"):
            _link(shared, target / "lib" / shared.name)
        _link_tree(base / library, target / library, "site-packages", "test", "idlelib", "tkinter")
        # An interpreter with a shared library knows that one's folder by name: the copy finds its own beside it.
        own, beside = os.fsencode(base / "lib"), b"$ORIGIN/../lib"
        copied.parent.mkdir(exist_ok=True)
        new = copied.with_name("new")
        new.write_bytes(binary.read_bytes().replace(own + b"\0", beside.ljust(len(own), b"\0") + b"\0"))
        new.chmod(0o755)
        new.replace(copied)
    return copied


def _packages(place, folder):
    if all(readable(entry) for entry in (folder, next(folder.glob("yaml/__init__.py"), folder))):
        return folder
    # Another set of packages is another time of the folder.
    target = place / f"packages-{folder.stat().st_mtime_ns}"
    return _fresh(target, place.glob("packages-*"), lambda new: _link_tree(folder, new))


def _project(place):
    if readable(ROOT / "hpcho" / "__init__.py"):
        return ROOT
    parts = [ROOT / "hpcho", ROOT / "examples", ROOT / "slurm"]
    files = [path for part in parts for path in sorted(part.rglob("*")) if "__pycache__" not in path.parts]
    stamp = "".join(f"{path}{path.stat().st_mtime_ns}" for path in files if path.is_file())

    def fill(new):
        for part in parts:
            _link_tree(part, new / part.name, "__pycache__", "runs")
        compileall.compile_dir(new / "hpcho", quiet=1)  # the user could not keep what Python compiles

    return _fresh(place / f"project-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}", place.glob("project-*"), fill)


def _fresh(target, others, fill):
    """The folder ``target``, filled in one go; it takes the place of ``others``."""
    if not target.exists():
        for other in others:
            shutil.rmtree(other)
        new = target.with_name("new")
        shutil.rmtree(new, ignore_errors=True)
        fill(new)
        new.rename(target)
    return target


def _link_tree(source, target, *without):
    shutil.copytree(
        source, target, symlinks=True, copy_function=_link, ignore=shutil.ignore_patterns(*without), dirs_exist_ok=True
    )
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)


def _link(source, target):
    """A hard link, which costs nothing; across filesystems, or where the file is its owner's alone, a copy."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if Path(source).stat().st_mode & 0o004:
        with suppress(OSError):
            return os.link(source, target, follow_symlinks=False)
    shutil.copy2(source, target, follow_symlinks=False)
    if not target.is_symlink():
        target.chmod(target.stat().st_mode | 0o044)
    return None


if __name__ == "__main__":
    print(python())
