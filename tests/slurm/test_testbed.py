"""The testbed's clusters do what real ones do to jobs, so that tests on them mean something."""

import time
from pathlib import Path

import pytest
import testbed

SLEEP = ["--wrap", "exec sleep 300"]


def test_an_ordinary_user_runs_an_array_with_hpcho_at_hand(cluster):
    word = f"{cluster.python[0]} -c 'import hpcho, os, sys; print(os.getuid(), hpcho.__file__, sys.executable)'"
    job = cluster.submit("--array=0-2%2", "--output=%a.out", "--wrap", word)
    for task in range(3):
        cluster.await_state(f"{job}_{task}", "COMPLETED")
        uid, module, executable = (cluster.folder / f"{task}.out").read_text().split()
        assert int(uid) > 0
        assert Path(module).name == "__init__.py"
        assert executable == cluster.python[0]


def test_a_gpu_job_has_its_gpus_only(cluster):
    command = ["srun", "--partition=gpu", "--nodelist=gpu2"]
    one = cluster.run([*command, "--gres=gpu:1", "printenv", "CUDA_VISIBLE_DEVICES"]).stdout
    two = cluster.run([*command, "--gpus-per-node=2", "printenv", "CUDA_VISIBLE_DEVICES"]).stdout
    none = cluster.run([*command, "printenv", "CUDA_VISIBLE_DEVICES"], check=False).stdout
    assert (one.strip() in {"0", "1"}, two.strip(), none.strip()) == (True, "0,1", "")


def test_a_job_ends_as_what_happened_to_it(cluster):
    # SLURM looks at time limits and at the grace of preempted jobs twice a minute: what waits for it waits at once.
    late = cluster.submit("--nodelist=cpu1", *SLEEP)
    preempted = cluster.submit("--no-requeue", "--partition=gpu", "--nodelist=gpu1", "--exclusive", *SLEEP)
    cancelled = cluster.submit(*SLEEP)
    for job in (late, preempted, cancelled):
        cluster.await_state(job, "RUNNING")
    cluster.root(["scontrol", "update", f"jobid={late}", f"EndTime={time.strftime('%FT%T')}"])
    urgent = cluster.submit("--partition=urgent", "--nodelist=gpu1", "--exclusive", "--wrap", "true")
    cluster.run(["scancel", cancelled])
    failed = cluster.submit("--wrap", "exit 3")
    ends = {failed: "FAILED", cancelled: "CANCELLED", late: "TIMEOUT", preempted: "PREEMPTED", urgent: "COMPLETED"}
    for job, end in ends.items():
        cluster.await_state(job, end)
        assert cluster.accounted(job)[job] == end
    assert "DUE TO TIME LIMIT" in cluster.output(late)
    assert "DUE TO PREEMPTION" in cluster.output(preempted)


def test_memory_beyond_the_jobs_is_its_end(cluster):
    hog = "import time; b = b'x' * 400_000_000; time.sleep(30); print('lived')"
    job = cluster.submit("--mem=100", "--wrap", f'{cluster.python[0]} -c "{hog}"')
    kernel = "proctrack/cgroup" in cluster.config.read_text()
    cluster.await_state(job, "OUT_OF_MEMORY" if kernel else "FAILED")
    assert ("oom-kill" if kernel else "Exceeded job memory limit") in cluster.output(job)
    assert "lived" not in cluster.output(job)


def test_a_node_that_goes_down_takes_its_processes_with_it(cluster):
    script = 'exec python3 -c \'import time\nfor n in range(999): open("beat", "w").write(str(n)); time.sleep(.05)\''
    job = cluster.submit("--no-requeue", "--nodelist=cpu2", "--wrap", script)
    cluster.await_state(job, "RUNNING")
    cluster.nodedown("cpu2")
    cluster.await_state(job, "NODE_FAIL")
    beat = cluster.folder / "beat"
    last = beat.read_text()
    time.sleep(0.3)
    assert beat.read_text() == last
    cluster.nodeup("cpu2")
    cluster.await_state(cluster.submit("--nodelist=cpu2", "--wrap", "true"), "COMPLETED")


def test_processes_that_a_job_leaves_behind_end_with_it(cluster):
    if "proctrack/cgroup" not in cluster.config.read_text():
        pytest.skip("control groups cannot be written here, and other process tracking loses such processes")
    job = cluster.submit("--wrap", "setsid sleep 300 & echo $! > stray; sleep 0.5")
    cluster.await_state(job, "COMPLETED")
    stray = Path("/proc", (cluster.folder / "stray").read_text().strip())
    testbed.until(lambda: not stray.exists(), timeout=10)


def test_a_users_quota_of_jobs_refuses_what_is_beyond(cluster):
    done = cluster.run(["sbatch", "--qos=few", "--array=0-4", *SLEEP], check=False)
    assert (done.returncode, "QOSMaxSubmitJobPerUserLimit" in done.stderr) == (1, True)
    cluster.submit("--qos=few", "--array=0-3", *SLEEP)
    assert len(cluster.squeue()) == 4


def test_the_plain_cluster_knows_no_accounting_and_small_arrays_only(plain):
    job = plain.submit("--array=0-3", "--wrap", "true")
    for task in range(4):
        plain.await_state(f"{job}_{task}", "COMPLETED")
    assert "accounting storage is disabled" in plain.run(["sacct"], check=False).stderr
    assert plain.run(["sacct"], check=False).returncode == 1
    assert "Invalid job array specification" in plain.run(["sbatch", "--array=0-4", *SLEEP], check=False).stderr
