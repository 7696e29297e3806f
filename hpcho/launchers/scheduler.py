"""SLURM's commands: what hpcho asks and tells the scheduler, each call with a bound on its time."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho import inside
from hpcho.errors import LauncherError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

__all__ = ["Account", "QueueFull", "Row", "Scheduler", "SlurmAway", "parse_accounts", "parse_queue", "wait_words"]

ANSWER_S = 20.0
"""How long a command may take. Clients give up by themselves after twice MessageTimeout (slurm.conf(5), 10 s)."""
SUBMIT_S = 60.0
"""The same for sbatch, which tries for a while by itself where the controller is busy."""
LARGEST_ARRAY = 1001
"""MaxArraySize where nobody says otherwise (slurm.conf(5))."""

ROW = "%i|%T|%M|%r|%N|%S|%k"
"""squeue(1), --format: a task's id, state, time used, reason, nodes, start and, last as it may be anything, comment."""
ACCOUNT = "JobID,State,ExitCode,MaxRSS,ReqMem,NodeList"

FOR_CLIENTS = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT"})
"""Of the SLURM_* variables, those by which a client finds its cluster. Others tell of the job that hpcho runs in."""
FOR_USERS = ("SQUEUE_", "SACCT_", "SCANCEL_")
"""Prefixes of a user's own defaults; they would change what is shown here."""
SBATCH_NAMES = {"time": "TIMELIMIT", "mem": "MEM_PER_NODE", "no-requeue": "REQUEUE", "array": "ARRAY_INX"}
"""Options whose SBATCH_* variable has another name (sbatch(1), INPUT ENVIRONMENT VARIABLES)."""

LIMIT = re.compile(r"\b(?:QOS|Assoc|Max|Grp|Part)\w*(?:Limit|Submit)\w*")
"""A limit's name in sbatch's words, such as QOSMaxSubmitJobPerUserLimit."""
POLICY = "violates accounting/QOS policy"
AWAY = re.compile(
    r"contact slurm controller|connect failure|connection (?:refused|reset|timed)|timed out|temporarily un|try again"
    r"|zero bytes|standby mode|transport endpoint|communication|authentication|plugin.*initiali[sz]",
    re.IGNORECASE,
)
"""What sbatch says when the same call may work later."""
KILLED_FOR_MEMORY = re.compile(r"task \S+: Out Of Memory")
"""srun's word in the job's own log: without accounting nothing else tells."""
LAST_SIGNAL = 64
"""SLURM has numbers of its own beyond: 125 for a step that ran out of memory."""
UNKNOWN = "Invalid job id specified"
NO_ACCOUNTING = "accounting storage is disabled"


class SlurmAway(LauncherError):
    """SLURM does not answer, or what it needs is not there now: the same call may work later."""


class QueueFull(LauncherError):
    """The queue takes no more jobs of this user for now. The message is the limit's name."""


@dataclass(frozen=True, slots=True)
class Row:
    """A job, or one task of an array, as the scheduler shows it.

    ``id`` is ``ARRAY_TASK`` for a task and the job's id else; ``node`` is empty while it waits. ``starts_at``, in
    seconds since the epoch: for a job that waits SLURM's own guess, where it has made one.
    """

    id: str
    state: str
    elapsed_s: int = 0
    reason: str = ""
    node: str = ""
    comment: str = ""
    starts_at: float | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """How a job ended, as accounting has it. ``exit_code``: 128 + N where signal N ended it; memory in bytes."""

    state: str
    exit_code: int | None = None
    node: str = ""
    used: int | None = None
    asked: int | None = None


class Scheduler:
    """Runs SLURM's commands. All raise SlurmAway, and LauncherError where they are missing.

    ``answer_s``: how long a command may take, sbatch aside. One thread calls; any other may call ``stop``.
    """

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False
        self._has_accounting = True
        self._largest_array: int | None = None

    def queue(self, jobs: Collection[str] = ()) -> list[Row]:
        """The calling user's jobs, or these of whomever. Ended ones too, as long as slurmctld remembers them.

        That is MinJobAge (slurm.conf(5)), 300 s unless a site says otherwise; a task that was cancelled before it began
        is forgotten at once.
        """
        whose = [f"--jobs={','.join(jobs)}"] if jobs else ["--me"]
        try:
            text = self._run(["squeue", "--noheader", "--array", "--states=all", f"--format={ROW}", *whose])
        except SlurmAway as error:
            if UNKNOWN in str(error):  # said where one single job is asked for, and it is not there
                return []
            raise
        return parse_queue(text)

    def named(self, name: str, states: str) -> list[str]:
        """The ids of the calling user's jobs of this name that are in one of ``states``, listed with commas."""
        return self.ask(["squeue", "--noheader", "--me", f"--name={name}", f"--states={states}", "--format=%A"]).split()

    def accounts(self, jobs: Collection[str]) -> dict[str, Account]:
        """What accounting knows of jobs; where a cluster has none, what slurmctld still remembers."""
        if not jobs:
            return {}
        if self._has_accounting:
            command = ["sacct", "--noheader", "--parsable2", f"--format={ACCOUNT}", f"--jobs={','.join(jobs)}"]
            try:
                return parse_accounts(self._run(command))
            except SlurmAway as error:
                if NO_ACCOUNTING not in str(error):
                    raise
            except LauncherError:  # a cluster may well have no sacct at all
                pass
            self._has_accounting = False
        return {job: account for job in list(jobs)[:10] if (account := self._remembered(job))}

    def cancel(self, jobs: Iterable[str], signal: str | None = None) -> None:
        """Cancel jobs, or signal their steps. Jobs that have ended meanwhile do not matter.

        Without ``--state``: with it, scancel 22.05 cancels all waiting tasks of an array when one of them is named.
        """
        how = [f"--signal={signal}"] if signal else []
        if targets := _ranges(jobs):
            try:
                self._run(["scancel", "--quiet", *how, *targets])
            except SlurmAway as error:
                if AWAY.search(str(error)):
                    raise

    def exclude(self, arrays: Iterable[str], nodes: Iterable[str]) -> None:
        """Keep what still waits of these arrays off the nodes (scontrol(1), update, ExcNodeList)."""
        for array in arrays:
            with contextlib.suppress(SlurmAway):  # it fails for tasks that run, and has done the others
                self._run(["scontrol", "update", f"JobId={array}", f"ExcNodeList={','.join(nodes)}"])

    def submit(self, script: Path) -> str:
        """Submit a script; returns the job's or array's id. After SlurmAway it may still have been submitted.

        Raises QueueFull, and LauncherError with sbatch's own words.
        """
        # Variables of the environment override options in a script (sbatch(1)): here the script is right.
        options = re.findall(r"^#SBATCH --([\w-]+)", script.read_text(encoding="utf-8"), re.MULTILINE)
        names = {f"SBATCH_{SBATCH_NAMES.get(name, name.upper().replace('-', '_'))}" for name in options}
        environment = {name: value for name, value in _environment().items() if name not in names}
        try:
            text = self._run(["sbatch", "--parsable", str(script)], SUBMIT_S, environment)
        except SlurmAway as error:
            said = str(error)
            limit = LIMIT.search(said)
            # older versions say of any limit the same, and do not name it
            if "Submit" in limit.group() if limit else POLICY in said:
                raise QueueFull(limit.group() if limit else "a limit of your account or QOS") from None
            if AWAY.search(said):
                raise
            raise LauncherError(f"SLURM refuses the job. {said}") from None
        job = text.strip().rpartition("\n")[2].partition(";")[0]  # after it, the cluster's name
        if not job.isdigit():
            raise SlurmAway(f"sbatch answered {text.strip()!r} instead of a job's id")
        return job

    @property
    def largest_array(self) -> int:
        """The most tasks of one array; 0 where arrays are not allowed (slurm.conf(5), MaxArraySize)."""
        if self._largest_array is None:
            found = re.search(r"^MaxArraySize\s*=\s*(\d+)", self._run(["scontrol", "show", "config"]), re.MULTILINE)
            self._largest_array = int(found[1]) if found else LARGEST_ARRAY
        return self._largest_array

    def node_addresses(self, partition: str | None) -> list[str]:
        """Where slurmctld reaches the nodes of a partition (default: of all), each once; none when SLURM is away."""
        where = [f"--partition={partition}"] if partition else []
        try:
            text = self._run(["sinfo", "--noheader", "--Node", "--format=%o", *where])
        except LauncherError:
            return []
        return list(dict.fromkeys(text.split()))

    def ask(self, command: Sequence[str]) -> str:
        """What any other of SLURM's commands prints."""
        return self._run(command)

    def stop(self) -> None:
        """End the command that runs now, and run no other."""
        self._is_stopped = True
        if (process := self._process) is not None:
            process.kill()

    def _remembered(self, job: str) -> Account | None:
        try:
            text = self._run(["scontrol", "--oneliner", "show", "job", job])
        except SlurmAway:
            return None
        fields = dict(field.partition("=")[::2] for field in text.split())
        code, _, number = fields.get("ExitCode", "").partition(":")
        state, node = fields.get("JobState", ""), fields.get("NodeList", "").replace("(null)", "")
        output = re.search(r" StdOut=(.+?)(?= Power=|\s*$)", text)
        if state == "FAILED" and output and KILLED_FOR_MEMORY.search(_end_of(output[1])):
            state = "OUT_OF_MEMORY"
        return Account(state, _exit_code(code, number), node)

    def _run(self, command: Sequence[str], timeout_s: float | None = None, env: dict[str, str] | None = None) -> str:
        """What a command prints. Raises SlurmAway with its own words when it fails."""
        if self._is_stopped:
            raise SlurmAway("stopped")
        program, timeout_s = command[0], timeout_s or self._answer_s
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=_environment() if env is None else env,
                start_new_session=True,  # Ctrl-C at the terminal must not end an sbatch halfway
            )
        except OSError as error:
            raise LauncherError(
                f"{program} cannot be started here ({error.strerror}): {inside.where_to_submit()}"
            ) from None
        with self._process as process:
            try:
                output, words = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                # whatever it had started may hold its pipes open
                for pipe in (process.stdout, process.stderr):
                    assert pipe
                    pipe.close()
                raise SlurmAway(f"{program}: no answer within {timeout_s:g} s") from None
            finally:
                self._process = None
        if process.returncode != 0:
            words = words.strip() or output.strip() or f"exit status {process.returncode}"
            raise SlurmAway(words if words.startswith(f"{program}:") else f"{program}: {words}")
        return output


def parse_queue(text: str) -> list[Row]:
    """squeue's lines, as ``ROW`` asks for them. Rows of many tasks are left out: those ended before they began."""
    rows = []
    for line in text.splitlines():
        fields = line.strip().split("|", 6)
        if len(fields) == 7 and "[" not in fields[0]:  # noqa: PLR2004 - else a heading: CLUSTER: name
            job, state, elapsed, reason, node, start, comment = fields
            comment = "" if comment == "(null)" else comment
            starts_at = _epoch(start) if state == "PENDING" else None
            rows.append(Row(job, state, _seconds(elapsed), reason, node, comment, starts_at))
    return rows


def wait_words(rows: Sequence[Row], now: float) -> str:
    """Why jobs wait (what SLURM says of most), and when the first is expected to start; ``now`` since the epoch."""
    reason, _ = Counter(row.reason for row in rows).most_common(1)[0]
    starts_at = min((row.starts_at for row in rows if row.starts_at is not None), default=None)
    when = "" if starts_at is None else f", expected to start {_until(starts_at - now)}"
    return f"{reason or 'no reason given'}{when}"


def parse_accounts(text: str) -> dict[str, Account]:
    """sacct's lines by job, the most that a step of it used taken together.

    A step tells better than its job how it ended: of a script that exits with 137, sacct prints 9:0, and a job is
    FAILED whose step was OUT_OF_MEMORY.
    """
    jobs: dict[str, Account] = {}
    for line in text.splitlines():
        name, state, code, used, asked, node = line.split("|", 5)
        job, _, step = name.partition(".")
        exit_code = _exit_code(*code.split(":", 1))
        if not step:
            jobs[job] = Account(state.split()[0], exit_code, node.replace("None assigned", ""), asked=_bytes(asked))
        elif job in jobs:
            whole = jobs[job]
            most = max((n for n in (whole.used, _bytes(used)) if n), default=None)
            told = exit_code if step == "0" and exit_code else whole.exit_code
            is_memory = whole.state == "FAILED" and state == "OUT_OF_MEMORY"
            jobs[job] = Account(state if is_memory else whole.state, told, whole.node, most, whole.asked)
    return jobs


def _environment() -> dict[str, str]:
    """The environment of this process without what describes a job that it runs in, and without a user's own formats.

    sbatch hands its environment on, and another job's SLURM_JOB_END_TIME or SLURM_MEM_PER_CPU would mislead a worker.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", *FOR_USERS)) or name in FOR_CLIENTS
    }


def _ranges(jobs: Iterable[str]) -> list[str]:
    """The same jobs, tasks of one array together: ``12_[0-3,7]``, which is one message to slurmctld instead of five."""
    arrays: dict[str, list[int]] = {}
    targets = []
    for job in jobs:
        array, _, task = job.partition("_")
        if task.isdigit():
            arrays.setdefault(array, []).append(int(task))
        else:
            targets.append(job)
    for array, tasks in arrays.items():
        spans: list[list[int]] = []
        for number in sorted(tasks):
            if spans and number == spans[-1][1] + 1:
                spans[-1][1] = number
            else:
                spans.append([number, number])
        listed = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
        targets.append(f"{array}_[{listed}]" if len(tasks) > 1 else f"{array}_{listed}")
    return targets


def _seconds(elapsed: str) -> int:
    """Seconds of [D-][HH:]MM:SS; 0 where there is no time."""
    days, _, clock = elapsed.rpartition("-")
    total = 0
    try:
        for part in clock.split(":"):
            total = total * 60 + int(part)
        return total + int(days or 0) * 86400
    except ValueError:
        return 0


def _epoch(time: str) -> float | None:
    """Seconds since the epoch of a local time as SLURM writes it; None for N/A and the like."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None


def _until(seconds: float) -> str:
    """A guess in words, as coarse as guesses are: it changes rarely, and promises nothing."""
    for unit_s, step, name in ((86400, 1, "days"), (3600, 1, "h"), (600, 10, "min"), (60, 1, "min")):
        if seconds >= 1.5 * unit_s:
            return f"in about {round(seconds / unit_s) * step} {name}"
    return "soon"


def _end_of(path: str) -> str:
    """The end of a job's log; nothing where there is none."""
    try:
        with Path(path).open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 4096, 0))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _exit_code(code: str, signal: str = "") -> int | None:
    if signal.isdigit() and 0 < int(signal) <= LAST_SIGNAL:
        return 128 + int(signal)
    return int(code) if code.isdigit() else None


def _bytes(size: str) -> int | None:
    """Bytes of 1234K, 1.5G; ReqMem had an ``n`` or ``c`` behind it in older versions."""
    found = re.match(r"([\d.]+)([KMGTP]?)", size)
    return int(float(found[1]) * 1024 ** " KMGTP".index(found[2] or " ")) if found else None
