"""The launcher and the relay's inner side without an image: a program takes Apptainer's place, and runs things here.

What takes the place of hpcho inside is a Python script; what takes the place of SLURM's commands shows what it gets.
"""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAUNCHER = ROOT / "containers" / "hpcho"
SHIMS = ROOT / "containers" / "relay"
PATIENCE_S = 30

TOOLS = (
    *("awk", "cat", "date", "dirname", "env", "grep", "ls", "mkdir", "mkfifo", "mktemp", "mv", "rm", "rmdir", "sed"),
    *("setsid", "sh", "sleep", "sort", "touch", "tr", "uname"),
)
"""All that launcher and shims call, beside Apptainer and SLURM."""

APPTAINER = """\
#!/bin/sh
# Runs a command here instead of in an image.
[ "$1" != --version ] || { echo apptainer version 0; exit; }
printf '%s\\n' "$@" >"$LAB/apptainer.argv"
while [ "$1" != "$LAB/hpcho.sif" ]; do shift; done
shift
[ "$1" != /opt/hpcho/bin/hpcho ] || { shift; set -- "$LAB/inside" "$@"; }
for name in RELAY RELAY_NAMES LAUNCHER IMAGE SLURM SLURM_WHY OUTSIDE_PATH; do
    eval "export HPCHO_$name=\\"\\$APPTAINERENV_HPCHO_$name\\""
done
exec "$@"
"""
ECHO = f"""\
#!{sys.executable} -IS
import os, sys
given = [os.fsencode(word) for word in sys.argv]
sys.stdout.buffer.write(b"\\0".join([given[0].rpartition(b"/")[2], os.fsencode(os.getcwd()), *given[1:]]))
sys.stderr.write(f"{{os.umask(0):o}} SBATCH_X={{os.environ.get('SBATCH_X')}} SLURM_Y={{os.environ.get('SLURM_Y')}}")
sys.exit(int(os.environ.get("EXIT", "0")))
"""


class Lab:
    """A folder with a stand-in for Apptainer, an image of no content, and commands for the outside."""

    def __init__(self, folder, shell="/bin/sh"):
        self.folder, self.shell = folder, shell
        self.outside, self.bin = folder / "outside", folder / "bin"
        self.outside.mkdir()
        self.bin.mkdir()
        (folder / "hpcho.sif").touch()
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name))
        self.program("bin/apptainer", APPTAINER)
        for name in ("sbatch", "squeue", "sacct", "scancel", "scontrol"):  # and no sinfo
            self.program(f"outside/{name}", ECHO)
        self.environment = {
            "PATH": f"{self.bin}:{self.outside}",  # and none of this machine's own SLURM
            "HOME": str(folder),
            "LAB": str(folder),
            "SHIMS": str(SHIMS),
            "HPCHO_IMAGE": str(folder / "hpcho.sif"),
            "HPCHO_SLURM": "relay",
        }

    def program(self, name, text):
        """A program of the lab."""
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        path.chmod(0o755)
        return path

    def inside(self, text):
        """What hpcho is inside: a Python script. ``call`` runs a shim; ``relay`` is the relay's folder."""
        self.program("inside", f"#!{sys.executable}\n" + textwrap.dedent(PRELUDE) + textwrap.dedent(text))

    def start(self, *words, env=None, **options):
        """The launcher, started."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(
            [self.shell, LAUNCHER, *words],
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            umask=0o027,
            **options,
        )

    def run(self, text, *words, env=None):
        """The launcher with that inside, to its end; nothing of the relay is left behind."""
        self.inside(text)
        with self.start(*words, env=env) as process:
            stdout, stderr = process.communicate(timeout=PATIENCE_S)
        self.await_clean(process.pid)
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def folders(self, pid):
        """The relay's folder of a launcher."""
        return list(Path("/tmp").glob(f"hpcho-relay.{pid}.*"))

    def await_clean(self, pid):
        """Wait until neither folder nor process of a launcher is left."""
        until(lambda: not self.folders(pid) and not self.processes())

    def processes(self):
        """Processes that have this lab in their environment."""
        mark = b"LAB=" + os.fsencode(self.folder) + b"\0"
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (place / "environ").read_bytes():
                    found.append(int(place.name))
            except OSError:
                continue
        return found


PRELUDE = """\
import os, signal, subprocess, sys, time
from pathlib import Path
relay = Path(os.environ["HPCHO_RELAY"])
SHELL = os.environ.get("SHELL_INSIDE", "/bin/sh")

def start(name, *words, **options):
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([os.environ["SHIMS"] + "/" + name, *words], **options)

def call(name, *words, **options):
    given = options.pop("input", None)
    if given is not None:
        options["stdin"] = subprocess.PIPE
    with start(name, *words, **options) as process:
        stdout, stderr = process.communicate(given, timeout=20)
    return process.returncode, stdout, stderr.decode()

def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)

def processes_of(path):
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if path in (place / "cmdline").read_text():
                found.append(int(place.name))
        except OSError:
            pass
    return found
"""


def until(condition, timeout=PATIENCE_S):
    """Wait for something true, and return it."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.02)
    return value


def shells():
    """The shells that may be /bin/sh somewhere."""
    return [path for name in ("dash", "bash", "busybox-sh") if (path := shutil.which(name))]
