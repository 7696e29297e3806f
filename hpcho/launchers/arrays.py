"""Workers as job arrays, through submitit: the script, what it runs, and its submission.

submitit writes the script and the pickle of what a task is to call, and its loader runs that in the job. Two things are
done otherwise than by its own executor. The pickle is one for all tasks, in its place before sbatch is called, and each
job makes itself the name by which the loader looks for it: a controller that is killed just after sbatch leaves jobs
that work. And SLURM's commands are run by ``scheduler``, with a bound on their time and nothing on the terminal.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import submitit

from hpcho.errors import LauncherError
from hpcho.launchers.scheduler import SlurmAway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from submitit.core.utils import DelayedSubmission

    from hpcho.experiment.launchers import SlurmLauncher
    from hpcho.jobdir import JobDir
    from hpcho.launchers.scheduler import Scheduler

__all__ = ["Arrays", "serve", "warning_s"]

PICKLE = "worker.pkl"
UNFINISHED = ".submission-*.sh"
"""A script's name until its submission is known to have worked."""
LAST_LINES = 15
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.ESTALE)
"""Errors of a file system that may pass."""
TASK = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
"""A job's id as submitit's loader has it."""
CHECKED = (
    'trap \'s=$?; [[ ${#BASH_SOURCE[@]} -gt 1 || $BASH_COMMAND == "source "* || $BASH_COMMAND == ". "* ]] || '
    '{ echo "launcher.slurm.setup: exit status $s: $BASH_COMMAND" >&2; exit 1; }\' ERR'
)
"""From here on a command that fails ends the job; what files do that it sources is their own business."""
SLURM_SLACK_S = 60
"""--signal may come so much earlier than asked for (sbatch(1))."""


def serve(entry: Callable[[list[str]], int], arguments: list[str]) -> NoReturn:
    """What a task calls: the worker. Its exit code becomes the task's, and submitit writes no result of it."""
    sys.exit(entry(arguments))


def warning_s(spec: SlurmLauncher) -> int:
    """How long before the end of a job SLURM is to send USR2.

    As long as a trial gets to save its work, but no more than a quarter of a short job, less SLURM's own slack.
    """
    return max(1, min(math.ceil(spec.grace_s), (spec.walltime_s - SLURM_SLACK_S) // 4, 65535))


class Arrays:
    """Submits jobs of ``spec.workers_in_job`` workers each. Everything of theirs is in ``folder``.

    ``entry`` is the worker's entry point, given JOB_DIR and options; it must be importable on compute nodes.
    ``python`` is shell text that starts Python there. ``tag`` is a word that the jobs' comment holds.
    """

    def __init__(
        self,
        spec: SlurmLauncher,
        jobdir: JobDir,
        scheduler: Scheduler,
        *,
        name: str,
        tag: str,
        entry: Callable[[list[str]], int],
        python: str | None = None,
    ) -> None:
        self.folder = jobdir.path / "jobs"
        if "%" in str(self.folder):  # SLURM and submitit put ids in place of %j and the like, and submitit knows no %%
            raise LauncherError(f"{jobdir.path}: SLURM cannot write logs below a folder with % in its name: rename it")
        self._spec, self._jobdir, self._scheduler = spec, jobdir, scheduler
        self._name, self._tag, self._entry = name, tag, entry
        self._python = python or spec.python
        log = logging.getLogger("submitit")  # it writes to the terminal unless told otherwise
        log.handlers, log.propagate = [logging.NullHandler()], False

    def script(self, jobs: int, exclude: Sequence[str] = ()) -> str:
        """The script that ``submit`` would submit."""
        return self._executor(exclude).text(jobs)

    def submit(self, jobs: int, exclude: Sequence[str] = ()) -> list[str]:
        """Submit one array of so many jobs; returns their ids. Raises what ``Scheduler.submit`` raises."""
        try:
            self.folder.mkdir(exist_ok=True)
            for unfinished in self.folder.glob(UNFINISHED):
                unfinished.unlink(missing_ok=True)
            idle_s = f"{self._spec.idle_exit_s:g}"
            arguments = [str(self._jobdir.path), "--idle-exit", idle_s, "--wait", idle_s]
            submitted = self._executor(exclude).map_array(serve, [self._entry] * jobs, [arguments] * jobs)
        except OSError as error:
            kind = SlurmAway if error.errno in PASSING else LauncherError
            raise kind(f"cannot write what workers start from: {error}") from None
        return [job.job_id for job in submitted]

    def interrupted(self) -> bool:
        """Whether the last submission has not been heard of: its sbatch may still be at work."""
        return any(self.folder.glob(UNFINISHED))

    def tidy(self, live: Iterable[str] = ()) -> None:
        """Remove what only jobs need that run or wait; logs and scripts stay."""
        needed = {f"{job}_submitted.pkl" for job in live}
        for path in [*self.folder.glob("*_submitted.pkl"), *self.folder.glob(UNFINISHED)]:
            if path.name not in needed:
                path.unlink(missing_ok=True)

    def last_lines(self, job: str) -> str:
        """The end of a job's log, or what its absence means."""
        path = self.folder / f"{job}_0_log.out"
        try:
            text = path.read_text(encoding="utf-8", errors="replace").rstrip()
        except OSError:
            return f"It left no log: can compute nodes write to {self.folder}?"
        return f"The last lines of {path}:\n" + "\n".join(text.splitlines()[-LAST_LINES:])

    def _executor(self, exclude: Sequence[str]) -> _Executor:
        executor = _Executor(self.folder, self._python, self._scheduler)
        executor.update_parameters(**self._parameters(exclude))
        return executor

    def _parameters(self, exclude: Sequence[str]) -> dict[str, Any]:
        """submitit's parameters; sbatch's options that it has no word for are its ``additional_parameters``."""
        spec = self._spec
        names = _Executor._valid_parameters()  # noqa: SLF001 - of two spellings of an option both would be written
        return {
            "time": math.ceil(spec.walltime_s / 60),
            "nodes": 1,
            "ntasks_per_node": spec.workers_in_job,
            "wckey": None,  # submitit's own, which clusters without such keys refuse
            "stderr_to_stdout": True,
            "setup": self._setup(),
            "teardown": ["status=$?", f"rm -f {self._link}", "exit $status"],
            # since 22.05 srun does not inherit cpus-per-task; a site's defaults may end a step with its first worker
            "srun_args": [
                f"--cpus-per-task={spec.cpus}",
                "--export=ALL",
                "--kill-on-bad-exit=0",
                "--open-mode=append",
                "--wait=0",
            ],
            "additional_parameters": {
                name.replace("-", "_") if name.replace("-", "_") in names else name: value
                for name, value in self._options(exclude).items()
                if value is not None and value is not False and value != ""
            },
        }

    def _options(self, exclude: Sequence[str]) -> dict[str, Any]:
        """sbatch's options by their long names; the user's come before ours where both may be."""
        spec = self._spec
        users = {name.replace("_", "-"): value for name, value in spec.options.items()}
        gpus = math.ceil(spec.gpus * spec.workers_in_job / spec.workers_per_gpu)
        kind = f"{spec.gpu_type}:" if spec.gpu_type else ""
        as_gres = bool(gpus) and spec.gpus_as == "gres"
        return {
            "job-name": f"hpcho-{self._name}",
            "chdir": str(self._jobdir.path),
            "partition": spec.partition,
            "cpus-per-task": spec.cpus,
            "gpus-per-node": f"{kind}{gpus}" if gpus and not as_gres else None,
            "mem": f"{math.ceil(spec.mem_gb * spec.workers_in_job * 1024)}M" if spec.mem_gb else None,
            **users,
            "gres": _joined(",", f"gpu:{kind}{gpus}" if as_gres else "", users.get("gres")),
            "exclude": _joined(",", users.get("exclude"), *exclude),
            "comment": _joined(" ", users.get("comment"), self._tag),
            "no-requeue": True,
            "signal": f"USR2@{warning_s(spec)}",
            "time": _time(spec.walltime_s),
        }

    def _setup(self) -> list[str]:
        """Shell lines before srun: what workers are told, the pickle's name for this job, and the user's own."""
        spec = self._spec
        told: dict[str, Any] = {
            "HPCHO_JOB_DIR": self._jobdir.path,
            "HPCHO_GRACE_S": f"{spec.grace_s:g}",
            "HPCHO_WALLTIME_S": spec.walltime_s,
            "HPCHO_WORKERS_PER_GPU": spec.workers_per_gpu,
            **({"HPCHO_MEM_GB": f"{spec.mem_gb:g}"} if spec.mem_gb else {}),
        }
        lines = [f"export {name}={shlex.quote(str(value))}" for name, value in told.items()]
        lines.append(f"ln -sfn {PICKLE} {self._link}")
        return [*lines, CHECKED, *spec.setup, "trap - ERR"] if spec.setup else lines

    @property
    def _link(self) -> str:
        return f"{shlex.quote(str(self.folder))}/{TASK}_submitted.pkl"


class _Executor(submitit.SlurmExecutor):
    """submitit's, with one pickle for all tasks, and an array of one task where one is asked for."""

    def __init__(self, folder: Path, python: str | None, scheduler: Scheduler) -> None:
        # never to be requeued: what USR2 would do before the worker has its own handlers
        super().__init__(folder, max_num_timeout=-1, python=python)
        self._scheduler = scheduler

    @classmethod
    def affinity(cls) -> int:
        """`hpcho check` shows the script where there is no SLURM; without srun on PATH submitit's says -1."""
        return 1

    def text(self, jobs: int) -> str:
        """The script for an array of so many jobs; for 0, for a job that is none."""
        self.parameters.update(map_count=jobs or None, array_parallelism=max(jobs, 1))
        return self._make_submission_file_text(self._submitit_command_str, "")

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[submitit.Job[Any]]:
        first = delayed_submissions[0]
        first.set_timeout(self.parameters["time"], self.max_num_timeout)
        draft = self.folder / f".{PICKLE}.{os.getpid()}"
        first.dump(draft)
        draft.replace(self.folder / PICKLE)
        is_array = self._scheduler.largest_array > 0
        script = self.folder / UNFINISHED.replace("*", f"{os.getpid()}-{time.time_ns()}")
        script.write_text(self.text(len(delayed_submissions) if is_array else 0), encoding="utf-8")
        try:
            array = self._scheduler.submit(script)
        except SlurmAway:
            raise  # it may have been submitted: the script stays, for whoever looks
        except LauncherError:
            script.unlink(missing_ok=True)
            raise
        script.replace(self.folder / f"{array}_submission.sh")
        names = [f"{array}_{task}" for task in range(len(delayed_submissions))] if is_array else [array]
        return [submitit.SlurmJob(self.folder, name) for name in names]


def _joined(between: str, *parts: object) -> str:
    return between.join(str(part) for part in parts if part not in (None, ""))


def _time(seconds: int) -> str:
    """A time limit to the second (sbatch(1), --time); whole minutes are all that submitit can say."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours:02}:{minutes:02}:{seconds:02}"
    return f"{days}-{clock}" if days else clock
