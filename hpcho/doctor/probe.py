"""``python -m hpcho.doctor.probe ORDER.json``: looks around where a worker would be, and prints findings.

Each is printed as soon as it is known, as a line of JSON that begins with MARK: what the objective does to this process
comes last. ``--objective`` is that part, in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hpcho
from hpcho import inside
from hpcho.doctor import container, stores
from hpcho.doctor.finding import Finding, failed, ok, warning
from hpcho.errors import HpchoError, LauncherError
from hpcho.experiment.stores import MongoSpec
from hpcho.jobdir import JobDir
from hpcho.launchers.scheduler import Scheduler
from hpcho.objective import load
from hpcho.objective.command import CommandObjective
from hpcho.objective.python import PythonObjective

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MARK", "Order", "read_findings"]

MARK = "hpcho-doctor:"
IMPORT_S = 90.0
"""How long the objective's imports may take: TensorFlow from a cold network disk takes a minute."""


@dataclass(frozen=True)
class Order:
    """What is to be looked at. ``folder`` is in the job directory's, and ``source`` the objective's copy in it.

    ``greeter``: host, port and word of a greeter; None where the MongoDB itself can be asked, or there is none.
    ``objective`` and ``mongo`` are the experiment's sections. ``submits``: whether a job here may want to submit
    another.
    """

    folder: str
    jobdir: str
    yaml: str
    version: str
    source: str
    objective: dict[str, Any]
    mongo: dict[str, Any] | None
    greeter: tuple[str, int, str] | None
    gpus: int
    submits: bool

    def write(self) -> Path:
        """Write it into the folder; returns the path for this module's command line."""
        path = Path(self.folder) / "order.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Order:
        """What ``write`` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def read_findings(text: str) -> list[Finding]:
    """The findings in what a probe has printed, between whatever else was."""
    return [Finding.from_json(line[len(MARK) :]) for line in text.splitlines() if line.startswith(MARK)]


def look(order: Order) -> Iterator[Finding]:
    """Everything, in order."""
    yield _python(order)
    yield _folder(Path(order.folder))
    if order.mongo is not None:
        yield _store(order, MongoSpec.model_validate(order.mongo))
    if order.gpus:
        yield _gpu(order.gpus)
    yield from container.in_job(order.gpus)
    if order.submits and inside.image_here() is None:  # a controller's job starts outside of its image
        yield _sbatch()
    yield _objective(order)


def _python(order: Order) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    words = f"{sys.executable}, Python {version}, hpcho {hpcho.__version__}"
    if hpcho.__version__ != order.version:
        return failed(
            "Python", words, f"install hpcho {order.version} there, or name another Python: launcher's python"
        )
    return ok("Python", words)


def _folder(folder: Path) -> Finding:
    """Whether it is written to; that it is seen is known, as the order lies in it."""
    try:
        (folder / f"seen-by-{socket.gethostname()}").touch()
    except OSError as error:
        mend = "see that it is mounted for writing there, or set `job_dir:` to a folder that is"
        return failed("job directory", f"{folder.parent} cannot be written to: {error.strerror}", mend)
    return ok("job directory", f"{folder.parent} is seen and written to")


def _store(order: Order, mongo: MongoSpec) -> Finding:
    if order.greeter is not None:
        return stores.greets(*order.greeter, mongo)
    return stores.reach(JobDir(Path(order.jobdir)), {"yaml": order.yaml}, mongo)


def _gpu(wanted: int) -> Finding:
    devices = os.environ.get("CUDA_VISIBLE_DEVICES") or os.environ.get("ROCR_VISIBLE_DEVICES") or ""
    listed = []
    if shutil.which("nvidia-smi"):
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
        listed = [line.partition(" (UUID")[0] for line in done.stdout.splitlines() if line.startswith("GPU ")]
    seen = len([device for device in devices.split(",") if device]) or len(listed)
    words = f"CUDA_VISIBLE_DEVICES={devices}" + (f", {'; '.join(listed)}" if listed else "")
    if seen == 0:
        mend = "`gpus_as: gres`, or another partition: `sinfo -o '%P %G'` shows which have GPUs"
        return failed("GPU", "none is seen in a job that asks for one", mend)
    if seen < wanted:
        return warning(
            "GPU", f"{seen} of {wanted} are seen: {words}", "see launcher.slurm.gpus and the partition's nodes"
        )
    return ok("GPU", words)


def _sbatch() -> Finding:
    """Only ``--as-job`` needs it, for the job that goes on."""
    try:
        Scheduler().ask(["sbatch", "--test-only", "--time=1", "--wrap=true"])
    except LauncherError as error:
        if "allocation failure" not in str(error):  # else SLURM was asked, and minded the options alone
            last = str(error).strip().rpartition("\n")[2]
            mend = "only --as-job needs it: use `hpcho run --as-job --chain N`, and submit workers from a login node"
            return warning("sbatch", f"a job cannot submit another: {last}", mend)
    return ok("sbatch", "a job can submit others, so --as-job works")


def _objective(order: Order) -> Finding:
    """Import it, in another process: it may do anything to that."""
    path = Path(order.folder) / "order.json"
    command = [sys.executable, "-m", "hpcho.doctor.probe", "--objective", str(path)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=IMPORT_S, check=False
        )
    except subprocess.TimeoutExpired:
        mend = "packages on a slow network disk? Workers import once each, so a long run may bear it"
        return warning("objective", f"its imports take more than {IMPORT_S:g} s", mend)
    found = read_findings(done.stdout)
    if found:
        return found[-1]
    said = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
    mend = "import the file in this Python by hand, on such a machine"
    return failed("objective", f"importing it ended the process (exit code {done.returncode}): {said}", mend)


def _import_objective(order: Order) -> Finding:
    source = Path(order.source)
    os.chdir(source)
    try:
        objective = load(order.objective, source)
        if isinstance(objective, PythonObjective):
            objective.find()
        elif isinstance(objective, CommandObjective):
            objective.prepare()
    except HpchoError as error:
        return failed("objective", str(error), "mend `objective:`, or the file that it names")
    except BaseException as error:  # noqa: BLE001 - the user's module may raise anything, SystemExit too
        mend = "install what is missing for this Python, or set launcher's python and setup"
        return failed("objective", f"cannot be imported: {type(error).__name__}: {error}", mend)
    return ok("objective", "can be imported")


def _say(finding: Finding) -> None:
    # From the beginning of a line, whatever the objective has printed before.
    print(f"\n{MARK}{finding.to_json()}", flush=True)  # noqa: T201 - what a probe finds is read from its output


def main() -> int:
    """Look around; returns an exit code."""
    path = Path(sys.argv[-1])
    order = Order.read(path)
    if "--objective" in sys.argv:
        _say(_import_objective(order))
        return 0
    for finding in look(order):
        _say(finding)
    return 0


if __name__ == "__main__":
    sys.exit(main())
