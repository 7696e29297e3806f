"""The SLURM launcher on a real cluster, as an ordinary user, with workers that are stand-ins."""

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from testbed import until

HERE = Path(__file__).parent
HEARTBEAT_S = 0.5


class LauncherRefusedError(Exception):
    """The LauncherError of the process."""


class Lab:
    """A run's job directory, and launchers in processes of the user."""

    def __init__(self, cluster, **spec):
        self.cluster, self.spec = cluster, {"canary": False, "grace_s": 5.0, "walltime": "00:10:00", **spec}
        self.jobdir = cluster.folder / "runs" / "lab"
        cluster.run(["mkdir", "-p", self.jobdir / "workers"])
        cluster.write("launcher_process.py", (HERE / "launcher_process.py").read_text())
        self.uuid = uuid.uuid4().hex
        self.processes = []
        self.do("sleep")

    def do(self, what):
        """What workers do that start from now on."""
        self.cluster.write("runs/lab/do", what)

    def launcher(self, **environment):
        return Remote(self, environment)

    def jobs(self, *options):
        return {job.id: job.state for job in self.cluster.squeue(*options)}

    def workers(self):
        """What workers have written, by ``JOB.LOCALID``."""
        return {path.name: json.loads(path.read_text()) for path in self.jobdir.joinpath("workers").glob("[!.]*")}

    def owner(self, name):
        """The owner that this worker would be."""
        return {"host": "node", "pid": self.workers()[name]["pid"], "started": 1, "job": name.partition(".")[0]}

    def close(self):
        for process in self.processes:
            process.kill()
            process.communicate()


class Remote:
    """A launcher in another process."""

    def __init__(self, lab, environment):
        given = {
            "spec": lab.spec,
            "jobdir": str(lab.jobdir),
            "uuid": lab.uuid,
            "name": "lab",
            "heartbeat_s": HEARTBEAT_S,
        }
        self.stderr = lab.cluster.folder / f"stderr-{time.monotonic_ns()}"
        with self.stderr.open("w") as stderr:
            self.process = lab.cluster.popen(
                [*lab.cluster.python, "-W", "error", "launcher_process.py", json.dumps(given)],
                env={"PYTHONPATH": str(lab.cluster.folder), **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        lab.processes.append(self.process)

    def __call__(self, *call):
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline() or json.dumps({"error": self.stderr.read_text()}))
        if "error" in said:
            raise LauncherRefusedError(said["error"])
        return said["value"]

    def top_up(self, wanted, owners=()):
        return self("top_up", wanted, list(owners))

    def death_of(self, owner, silent_s=3.0):
        """Asks as the controller does, until there is an answer; not so silent that a job which runs is cancelled."""
        return until(lambda: self("death_of", owner, silent_s))


@pytest.fixture
def lab(cluster):
    yield from _lab(cluster)


@pytest.fixture
def plain_lab(plain):
    yield from _lab(plain)


def _lab(cluster):
    labs = []

    def make(**spec):
        labs.append(Lab(cluster, **spec))
        return labs[0]

    yield make
    for one in labs:
        one.close()


def test_an_array_of_workers_runs_and_is_gone_after_close(lab):
    lab = lab(workers=3, partition="cpu", mem_gb=0.25)
    launcher = lab.launcher()
    launcher.top_up(3)
    workers = until(lambda: len(lab.workers()) == 3 and lab.workers())
    assert len({name.partition("_")[0] for name in workers}) == 1
    one = next(iter(workers.values()))
    assert one["arguments"] == [str(lab.jobdir), "--idle-exit", "120", "--wait", "120"]
    assert one["environment"]["HPCHO_WALLTIME_S"] == "600"
    assert one["environment"]["HPCHO_GRACE_S"] == "5"
    assert one["environment"]["HPCHO_MEM_GB"] == "0.25"
    assert one["environment"]["HPCHO_JOB_DIR"] == str(lab.jobdir)
    began = time.monotonic()
    launcher("close")
    took = time.monotonic() - began
    print("close took", took)
    assert lab.jobs() == {}
    assert not list(lab.jobdir.glob("jobs/*_submitted.pkl"))
    assert launcher.stderr.read_text() == ""


def test_the_script_shown_is_the_script_submitted(lab):
    lab = lab(workers=2, partition="cpu", setup=["true"], options={"comment": "it's ours"})
    launcher = lab.launcher()
    shown = launcher("script")
    launcher.top_up(2)
    job = until(lab.jobs)
    array = next(iter(job)).partition("_")[0]
    assert lab.jobdir.joinpath("jobs", f"{array}_submission.sh").read_text() == shown
    assert lab.cluster.run(["scontrol", "write", "batch_script", array, "-"]).stdout.strip() == shown.strip()
    launcher("close")


def test_workers_of_one_job_share_its_gpus(lab):
    lab = lab(workers=4, partition="gpu", gpus=1, cpus=2, mem_gb=0.25, workers_per_job=2)
    launcher = lab.launcher()
    launcher.top_up(4)
    workers = until(lambda: len(lab.workers()) == 4 and lab.workers())
    assert {name.partition(".")[2] for name in workers} == {"0", "1"}
    for one in workers.values():
        assert one["environment"]["CUDA_VISIBLE_DEVICES"] == "0,1"
        assert one["environment"]["SLURM_CPUS_PER_TASK"] == "2"
        assert one["environment"]["SLURM_MEM_PER_NODE"] == "512"
    assert len(list(lab.jobdir.glob("jobs/*_log.out"))) == 4
    launcher("close")
    assert lab.jobs() == {}


def test_what_has_ended_is_topped_up_and_what_is_too_much_is_cancelled(lab):
    lab = lab(workers=12, partition="gpu", cpus=8)
    launcher = lab.launcher()
    launcher.top_up(12)
    until(lambda: sorted(lab.jobs().values()) == ["PENDING"] * 10 + ["RUNNING"] * 2)
    launcher.top_up(4)
    until(lambda: sorted(lab.jobs().values()) == ["PENDING"] * 2 + ["RUNNING"] * 2)
    kept = lab.jobs()
    launcher.top_up(1)
    until(lambda: sorted(lab.jobs().values()) == ["RUNNING"] * 2)  # what runs goes on
    lab.cluster.run(["scancel", *kept])
    launcher.top_up(3)
    until(lambda: len(lab.jobs().keys() - kept) == 3)
    launcher("close")


def test_the_next_controller_finds_the_jobs_of_one_that_was_killed(lab):
    lab = lab(workers=3, partition="cpu", cpus=2)
    first = lab.launcher()
    first.top_up(3)
    until(lambda: len(lab.workers()) == 3)
    first.process.kill()
    second = lab.launcher()
    second.top_up(3)
    owner = lab.owner(next(iter(lab.workers())))
    assert second("death_of", owner, 60.0) is None
    time.sleep(5)
    assert len(lab.jobs("--states=all")) == 3
    second("close")
    assert lab.jobs() == {}


def test_a_submission_whose_controller_was_killed_counts(lab):
    lab = lab(workers=2, partition="cpu")
    slow = lab.cluster.folder / "bin"
    lab.cluster.run(["mkdir", slow])
    lab.cluster.write("bin/sbatch", '#!/bin/sh\nsleep 3\nexec /usr/bin/sbatch "$@"\n').chmod(0o755)
    first = lab.launcher(PATH=f"{slow}:/usr/bin:/bin")
    first.top_up(2)
    until(lambda: list(lab.jobdir.glob("jobs/.submission-*")))
    first.process.kill()
    second = lab.launcher()
    second.top_up(2)
    until(lambda: len(lab.workers()) == 2)
    time.sleep(10)
    assert len(lab.jobs("--states=all")) == 2
    second("close")


def test_a_submission_limit_is_filled_and_told(lab):
    lab = lab(workers=10, partition="cpu", options={"qos": "few"})
    launcher = lab.launcher()
    launcher.top_up(10)
    until(lambda: len(lab.jobs()) == 4)
    notice = until(lambda: launcher("notice"))
    assert "SLURM takes no more jobs of yours for now (QOSMaxSubmitJobPerUserLimit): 4 of 10" in notice
    ended = next(iter(lab.jobs()))
    lab.cluster.run(["scancel", ended])
    until(lambda: ended not in lab.jobs() and len(lab.jobs()) == 4)
    launcher("close")


def test_arrays_are_split_at_the_largest_size(plain_lab):
    lab = plain_lab(workers=10)
    launcher = lab.launcher()
    launcher.top_up(10)
    until(lambda: len(lab.workers()) == 10)
    arrays = [name.partition("_")[0] for name in lab.jobs()]
    assert sorted(map(arrays.count, set(arrays))) == [2, 4, 4]
    launcher("close")
    assert lab.jobs() == {}


def test_a_thousand_workers_are_one_submission(lab):
    lab = lab(workers=1000, partition="gpu", cpus=8)
    launcher = lab.launcher()
    launcher.top_up(1000)
    until(lambda: len(lab.jobs()) == 1000)
    assert len(list(lab.jobdir.glob("jobs/*_submission.sh"))) == 1
    launcher.top_up(500)
    until(lambda: len(lab.jobs()) == 500)
    launcher("close")
    assert lab.jobs() == {}


# -- ends ----------------------------------------------------------------------------------------------------------


def started(lab, workers=1):
    launcher = lab.launcher()
    launcher.top_up(workers)
    until(lambda: len(lab.workers()) == workers)
    launcher.top_up(0)
    name = min(lab.workers())
    owner = lab.owner(name)
    assert launcher("death_of", owner, 0.0) is None
    assert launcher("is_watching", owner)
    return launcher, owner


def node_of(lab, owner):
    return next(job.node for job in lab.cluster.squeue() if job.id == owner["job"])


def test_a_killed_worker_is_the_nodes_fault_with_its_signal(lab):
    launcher, owner = started(lab := lab(partition="cpu"))
    os.kill(owner["pid"], signal.SIGKILL)
    cause, words = launcher.death_of(owner)
    assert cause == "node"
    assert f"the worker of job {owner['job']} ended on cpu" in words
    assert words.endswith("(exit code 137: SIGKILL)")


def test_a_killed_worker_without_accounting(plain_lab):
    launcher, owner = started(plain_lab())
    os.kill(owner["pid"], signal.SIGKILL)
    cause, words = launcher.death_of(owner)
    assert cause == "node"
    assert words.endswith("(exit code 137: SIGKILL)")


def test_a_dead_job_alone_is_no_death(lab):
    launcher, owner = started(lab := lab(partition="cpu"))
    os.kill(owner["pid"], signal.SIGKILL)
    until(lambda: not lab.jobs())
    for _ in range(30):
        assert launcher("death_of", owner, 0.9) is None
        time.sleep(0.1)


def test_preemption(lab):
    lab = lab(partition="cpu")
    lab.do("stay")
    launcher, owner = started(lab)
    node = node_of(lab, owner)
    lab.cluster.submit("--partition=urgent", f"--nodelist={node}", "--cpus-per-task=4", "--wrap=sleep 3")
    cause, words = launcher.death_of(owner)
    assert cause == "preempted"
    assert words.startswith(f"its job {owner['job']} was preempted on {node}: ")
    assert "SIGTERM" in lab.workers()[f"{owner['job']}.0"]["signals"]


def test_a_failed_node(lab):
    launcher, owner = started(lab := lab(partition="cpu"))
    node = node_of(lab, owner)
    lab.cluster.nodedown(node)
    assert launcher.death_of(owner) == ["node", f"node {node} failed under its job {owner['job']}"]


def test_the_wall_time(lab):
    lab = lab(partition="cpu", walltime="00:00:20")
    lab.do("stay")
    launcher, owner = started(lab)
    cause, words = launcher.death_of(owner)
    assert cause == "walltime"
    assert f"its job {owner['job']} reached its wall time (00:00:20) on cpu" in words
    assert "raise launcher.slurm.walltime" in words
    assert "SIGUSR2" in lab.workers()[f"{owner['job']}.0"]["signals"]


def test_too_little_memory(lab):
    lab = lab(partition="gpu", mem_gb=1)
    lab.do("hog")
    launcher, owner = started(lab)
    cause, words = launcher.death_of(owner)
    assert cause == "oom"
    assert words.startswith("killed for memory ")
    assert "1 GB" in words
    assert words.endswith("raise launcher.slurm.mem_gb")


def test_too_little_memory_without_accounting(plain_lab):
    lab = plain_lab(mem_gb=1)
    lab.do("hog")
    launcher, owner = started(lab)
    assert launcher.death_of(owner)[0] == "oom"


def test_scancel(lab):
    launcher, owner = started(lab := lab(partition="cpu"))
    lab.cluster.run(["scancel", owner["job"]])
    cause, words = launcher.death_of(owner)
    assert cause == "scancel"
    assert f"its job {owner['job']} was cancelled on cpu" in words


def test_a_silent_worker_in_a_running_job_has_it_cancelled_first(lab):
    lab = lab(partition="cpu")
    launcher, owner = started(lab)
    for _ in range(20):
        assert launcher("death_of", owner, 3.0) is None
        time.sleep(0.1)
    assert lab.jobs() == {owner["job"]: "RUNNING"}
    cause, words = launcher.death_of(owner, 60.0)
    assert cause == "node"
    assert f"no sign of life from the worker in job {owner['job']} on cpu" in words
    assert "the job was cancelled" in words


def test_a_worker_that_dies_alone_leaves_the_others_of_its_job(lab):
    lab = lab(workers=2, partition="cpu", workers_per_job=2)
    launcher = lab.launcher()
    launcher.top_up(2)
    until(lambda: len(lab.workers()) == 2)
    one, other = (lab.owner(name) for name in sorted(lab.workers()))
    os.kill(one["pid"], signal.SIGKILL)

    def death():
        assert launcher("death_of", other, 0.0) is None
        return launcher("death_of", one, 60.0)

    cause, words = until(death)
    assert cause == "node"
    assert "other workers of the job live, so it was left alone" in words
    assert lab.jobs() == {one["job"]: "RUNNING"}
    assert Path(f"/proc/{other['pid']}").exists()
    launcher("close")


def test_workers_started_by_hand_do_their_share(lab):
    lab = lab(workers=4, partition="cpu")
    launcher = lab.launcher()
    by_hand = [{"host": "laptop", "pid": pid, "started": 1, "job": None} for pid in (1, 2)]
    launcher.top_up(3, by_hand)
    until(lambda: len(lab.jobs()) == 1)
    time.sleep(5)
    assert len(lab.jobs("--states=all")) == 1
    launcher.top_up(4, by_hand)  # there is more to do than all workers of the cluster could
    until(lambda: len(lab.jobs()) == 4)
    launcher("close")


def test_a_suspended_job_lives(lab):
    lab = lab(partition="cpu")
    launcher, owner = started(lab)
    lab.cluster.root(["scontrol", "suspend", owner["job"]])
    for _ in range(60):
        assert launcher("death_of", owner, 60.0) is None
        time.sleep(0.1)
    assert lab.jobs() == {owner["job"]: "SUSPENDED"}
    lab.cluster.root(["scontrol", "resume", owner["job"]])


def test_the_job_of_an_unknown_owner_is_looked_for(lab):
    lab = lab(partition="cpu")
    launcher = lab.launcher()
    launcher.top_up(0)
    job = lab.cluster.submit("--partition=cpu", "--wrap=sleep 300")
    by_hand = {"host": "node", "pid": 1, "started": 1, "job": job}
    for _ in range(10):
        assert launcher("death_of", by_hand, 3.0) is None
        time.sleep(0.1)
    lab.cluster.run(["scancel", job])
    assert launcher.death_of(by_hand)[0] == "scancel"
    never = {**by_hand, "job": "999999"}
    assert launcher.death_of(never, 60.0) == [
        "node",
        "SLURM no longer knows its job 999999, and its worker has gone silent",
    ]


def test_a_requeued_job_is_the_end_of_its_worker(lab):
    lab = lab(partition="cpu")
    launcher = lab.launcher()
    launcher.top_up(0)
    job = lab.cluster.submit("--partition=cpu", "--requeue", "--wrap=sleep 300")
    lab.cluster.await_state(job, "RUNNING")
    lab.cluster.root(["scontrol", "requeue", job])
    cause, words = launcher.death_of({"host": "node", "pid": 1, "started": 1, "job": job})
    assert cause == "preempted"
    assert f"its job {job} was taken off its node and put back into the queue" in words


def test_submitits_own_handler_requeues_nothing(lab):
    lab = lab(partition="cpu")
    lab.do("bare")
    launcher, owner = started(lab)
    lab.cluster.run(["scancel", "--signal=USR2", owner["job"]])
    until(lambda: not lab.jobs())
    assert lab.jobs("--states=all") == {owner["job"]: "FAILED"}
    assert "Restarts=0" in lab.cluster.run(["scontrol", "show", "job", owner["job"]]).stdout
    launcher("close")


# -- what cannot work ----------------------------------------------------------------------------------------------


def refused(launcher, wanted=1):
    def error():
        try:
            launcher.top_up(wanted)
        except LauncherRefusedError as error:
            return str(error)
        return None

    return until(error)


def test_a_wrong_partition_is_said_in_sbatchs_words(lab):
    launcher = lab(partition="nosuch").launcher()
    assert "SLURM refuses the job. sbatch: error: invalid partition specified: nosuch" in refused(launcher)
    launcher("close")


def test_a_setup_line_that_fails_is_shown(lab):
    lab = lab(partition="cpu", canary=True, setup=["module_that_is_not_there load cuda", "echo too far"])
    launcher = lab.launcher()
    words = refused(launcher)
    assert words.startswith("workers cannot start: its job failed before it took a trial (")
    assert "launcher.slurm.setup: exit status 127: module_that_is_not_there load cuda" in words
    assert "too far" not in words
    launcher("close")


def test_a_python_that_is_not_there(lab):
    launcher = lab(partition="cpu", canary=True, python="/no/python").launcher()
    assert "/no/python" in refused(launcher)
    launcher("close")


def test_workers_that_fail_as_they_start_end_after_a_few(lab):
    lab = lab(partition="cpu")
    lab.do("fail")
    launcher = lab.launcher()
    words = refused(launcher)
    assert "3 jobs in a row failed before it took a trial" in words
    assert "ValueError: the stand-in fails" in words
    launcher("close")


def test_a_folder_that_nodes_cannot_write_to(lab):
    lab = lab(partition="cpu", canary=True)
    lab.cluster.run(["mkdir", lab.jobdir / "jobs"])
    launcher = lab.launcher()
    launcher("script")
    shutil.chown(lab.jobdir / "jobs", "root")
    words = refused(launcher)
    assert "cannot write what workers start from" in words
    launcher("close")


def test_a_log_that_nodes_cannot_write(lab):
    lab = lab(partition="cpu", canary=True, options={"begin": "now+4"})
    launcher = lab.launcher()
    launcher.top_up(1)
    until(lab.jobs)
    shutil.chown(lab.jobdir / "jobs", "root")
    words = refused(launcher)
    assert words.startswith("workers cannot start: its job failed before it took a trial (")
    assert f"It left no log: can compute nodes write to {lab.jobdir / 'jobs'}?" in words


def test_a_node_that_fails_all_workers_is_avoided(lab):
    lab = lab(workers=2, partition="gpu", cpus=8, setup=['[ "$SLURMD_NODENAME" != gpu1 ] || exit 7'])
    launcher = lab.launcher()

    def avoided():
        launcher.top_up(2, [lab.owner(name) for name in lab.workers()])
        return launcher("notice")

    assert until(avoided) == "avoiding gpu1: workers kept dying there"
    until(lambda: avoided() and len(lab.jobs()) == 2)  # the other has to wait for the good node
    excluded = lab.cluster.run(["squeue", "--noheader", "--me", "--states=PENDING", "--format=%x"]).stdout
    assert "gpu1" in excluded
    launcher("close")


def test_jobs_that_cannot_start_are_told(lab):
    launcher = lab(partition="cpu", cpus=500).launcher()
    launcher.top_up(1)
    assert until(lambda: launcher("notice")) == "waiting: SLURM has not started the job yet (PartitionConfig)"
    launcher("close")


def test_when_slurm_expects_to_start_jobs_is_told(lab):
    launcher = lab(partition="cpu", options={"begin": "now+1260"}).launcher()
    launcher.top_up(1)
    words = "waiting: SLURM has not started the job yet (BeginTime, expected to start in about 20 min)"
    assert until(lambda: launcher("notice")) == words
    launcher("close")


def test_the_environment_of_a_job_that_the_controller_runs_in_is_not_handed_on(lab):
    lab = lab(partition="cpu", mem_gb=0.25, options={"account": "testers"})
    mine = {"SLURM_JOB_END_TIME": "12", "SLURM_MEM_PER_CPU": "7", "SLURM_ARRAY_TASK_ID": "5"}
    wishes = {"SBATCH_PARTITION": "nosuch", "SBATCH_TIMELIMIT": "1", "SQUEUE_PARTITION": "gpu", "SQUEUE_FORMAT": "%j"}
    launcher = lab.launcher(**mine, **wishes)
    launcher.top_up(1)
    (worker,) = until(lambda: list(lab.workers().values()))
    assert worker["environment"]["SLURM_ARRAY_TASK_ID"] == "0"
    assert worker["environment"].get("SLURM_JOB_END_TIME") != "12"
    assert "SLURM_MEM_PER_CPU" not in worker["environment"]
    launcher("close")
    assert lab.jobs() == {}


def test_slurm_away_is_waited_for(lab):
    lab = lab(workers=2, partition="cpu")
    away = lab.cluster.folder / "bin"
    lab.cluster.run(["mkdir", away])
    flag = lab.cluster.write("bin/away", "")
    for program in ("squeue", "sbatch", "sacct", "scontrol"):
        script = f'#!/bin/sh\n[ -e {flag} ] && {{ echo "{program}: error: Connection refused" >&2; exit 1; }}\n'
        lab.cluster.write(f"bin/{program}", f'{script}exec /usr/bin/{program} "$@"\n').chmod(0o755)
    launcher = lab.launcher(PATH=f"{away}:/usr/bin:/bin")
    launcher.top_up(2)
    notice = until(lambda: launcher("notice"))
    assert notice == "waiting: SLURM does not answer (squeue: error: Connection refused)"
    flag.unlink()
    until(lambda: len(lab.workers()) == 2)
    owner = lab.owner(min(lab.workers()))
    assert launcher("notice") is None
    lab.cluster.write("bin/away", "")
    for _ in range(60):
        assert launcher("death_of", owner, 60.0) is None
        time.sleep(0.1)
    flag.unlink()
    launcher("close")
    assert lab.jobs() == {}


def test_a_squeue_that_hangs_does_not_hold_close(lab):
    lab = lab(workers=2, partition="cpu")
    lab.cluster.run(["mkdir", lab.cluster.folder / "bin"])
    lab.cluster.write("bin/squeue", "#!/bin/sh\nsleep 1000\n").chmod(0o755)
    launcher = lab.launcher(PATH=f"{lab.cluster.folder / 'bin'}:/usr/bin:/bin")
    launcher.top_up(2)
    time.sleep(1)
    began = time.monotonic()
    launcher("close")
    assert time.monotonic() - began < 25


def test_without_slurm_it_says_so(lab):
    lab = lab(workers=2, partition="cpu")
    lab.cluster.run(["mkdir", lab.cluster.folder / "bin"])
    launcher = lab.launcher(PATH=str(lab.cluster.folder / "bin"))
    assert "#SBATCH --array=0-1%2" in launcher("script")
    assert "squeue cannot be started here" in refused(launcher)
    launcher("close")


# -- the end -------------------------------------------------------------------------------------------------------


def test_release_lets_trials_save_and_cancels_what_waits(lab):
    lab = lab(workers=6, partition="gpu", cpus=8, grace_s=3)
    lab.do("stay")
    launcher = lab.launcher()
    launcher.top_up(6)
    until(lambda: len(lab.workers()) == 2 and len(lab.jobs()) == 6)
    owners = [lab.owner(name) for name in lab.workers()]
    launcher.top_up(6, owners)
    launcher("release")
    until(lambda: len(lab.jobs()) == 2)
    until(lambda: all(worker["signals"][:1] == ["SIGUSR2"] for worker in lab.workers().values()))
    until(lambda: not lab.jobs())  # cancelled once their grace was over
    launcher("close")


def test_close_gives_a_running_trial_its_grace(lab):
    lab = lab(partition="cpu", grace_s=30)
    launcher = lab.launcher()
    launcher.top_up(1)
    until(lab.workers)
    launcher.top_up(1, [lab.owner(min(lab.workers()))])
    launcher("close")
    assert lab.workers()[min(lab.workers())]["signals"] == ["SIGUSR2"]
    assert lab.jobs() == {}


def test_jobs_outlive_a_killed_controller(lab):
    lab = lab(partition="cpu")
    launcher = lab.launcher()
    launcher.top_up(1)
    until(lab.workers)
    launcher.process.kill()
    time.sleep(2)
    assert list(lab.jobs().values()) == ["RUNNING"]
