"""`hpcho run` with `launcher: slurm`, as an ordinary user on a real cluster."""

import signal
import time
from collections import Counter

import pytest
from slurm_lab import NOTE, opened

END_S = 15
"""From a met budget to an empty queue, besides the grace."""
SETTINGS = """
objective: {{python: "objective.py:objective"}}
space: {{x: {{float: [-5, 5]}}}}
sampler: {{name: random, seed: 1}}
budget: {{trials: {trials}}}
trial: {{heartbeat_s: 1}}
launcher: {{slurm: {{workers: {workers}, partition: gpu, walltime: "00:10:00", grace_s: 5, {more}}}}}
"""
NAP = (
    NOTE
    + """
def objective(params, trial):
    note("begun", tid=trial.tid, job=os.environ["SLURM_ARRAY_JOB_ID"])
    time.sleep({seconds})
    note("ended", tid=trial.tid)
    return params["x"] ** 2
"""
)


@pytest.fixture
def lab(cluster):
    with opened(cluster) as lab:
        yield lab


def settings(trials=16, workers=4, more=""):
    return SETTINGS.format(trials=trials, workers=workers, more=more)


def nap(lab, seconds, **options):
    lab.write(NAP.replace("{seconds}", str(seconds)), settings(**options))


def submissions(lab):
    """How often sbatch was called, and with how many tasks: the last of each array."""
    found = {}
    for script in lab.job_dir.glob("jobs/*_submission.sh"):
        array = next(line for line in script.read_text().splitlines() if line.startswith("#SBATCH --array="))
        found[script.name.partition("_")[0]] = int(array.partition("=")[2].partition("%")[0].partition("-")[2]) + 1
    return found


def empty_after(lab, since):
    """Seconds from then to an empty queue."""
    lab.until(lambda: not lab.cluster.squeue(), 90)
    return time.time() - since


def test_the_queue_is_empty_soon_after_the_budget_is_met(lab):
    nap(lab, 1, trials=24, workers=8)
    process = lab.start("run")
    lab.until(lambda: sum(note["what"] == "ended" for note in lab.notes()) == 24)
    took_s = empty_after(lab, lab.notes()[-1]["at"])
    print(f"from the budget met to an empty queue: {took_s:.1f} s")
    assert took_s < END_S + 5
    assert "24 trials are done" in lab.until_ended(process)
    assert {row["attempts"] for row in lab.trials()} == {1}
    assert sorted(submissions(lab).values()) == [1, 7]


EPOCHS = (
    NOTE
    + """
def objective(params, trial):
    state = trial.dir / "epoch"
    begin = int(state.read_text()) if state.exists() else 0
    note("begun", epoch=begin)
    for epoch in range(begin, 60):
        if trial.should_stop():
            state.write_text(str(epoch))
            return
        time.sleep(1)
        note("epoch", epoch=epoch)
    return 0.0
"""
)


def test_a_trial_longer_than_the_wall_time_goes_on_where_it_was(lab):
    lab.write(EPOCHS, settings(trials=1, workers=1).replace("00:10:00", "00:01:00"))
    lab.run(timeout=240)
    epochs = [note["epoch"] for note in lab.notes() if note["what"] == "epoch"]
    assert epochs == list(range(60))
    begun = [note["epoch"] for note in lab.notes() if note["what"] == "begun"]
    assert begun[0] == 0
    assert all(epoch > 0 for epoch in begun[1:])
    *interrupted, done = lab.attempts()
    assert [(a["cause"], a["saved"]) for a in interrupted] == [("walltime", True)] * (len(begun) - 1)
    assert done["cause"] is None
    assert interrupted


TRAINING = (
    NOTE
    + """
import keras
import numpy as np
from hpcho.keras import TrialCallback

class Slow(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        note("epoch", epoch=epoch)
        time.sleep(1)

def objective(params, trial):
    note("begun", tid=trial.tid)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.linspace(0, 1, 8).reshape(8, 1)
    callback = TrialCallback(trial, monitor="loss")
    history = model.fit(x, 2 * x, epochs=90, verbose=0, callbacks=[Slow(), callback])
    if not callback.stopped:
        note("history", epochs=len(history.history["loss"]))
    return history.history["loss"][-1]
"""
)


@pytest.mark.keras
@pytest.mark.timeout(400)
def test_a_training_longer_than_the_wall_time_goes_on_where_it_was(lab):
    lab.write(TRAINING, settings(trials=1, workers=1, more="mem_gb: 2").replace("00:10:00", "00:01:30"))
    lab.run(timeout=350)
    epochs = [note["epoch"] for note in lab.notes() if note["what"] == "epoch"]
    *interrupted, _ = lab.attempts()
    assert interrupted
    assert [(a["cause"], a["saved"]) for a in interrupted] == [("walltime", True)] * len(interrupted)
    assert sorted(set(epochs)) == list(range(90))
    assert len(epochs) <= 90 + len(interrupted)  # an epoch that was interrupted is done again
    assert [note["epochs"] for note in lab.notes() if note["what"] == "history"] == [90]


CROWD = """
import pathlib, time
def objective(params, trial):
    pathlib.Path("../begun").touch()
    time.sleep(0.5)
    return -1.0 if pathlib.Path("../finish").exists() else 1.0
"""


def test_a_thousand_workers_come_with_one_call_and_go_with_the_run(lab):
    spec = settings(trials="5000, loss: -1", workers=1000, more="canary: false")
    lab.write(CROWD, spec.replace("partition: gpu", "partition: cpu"))
    process = lab.start("run")
    lab.until((lab.job_dir / "begun").exists)
    assert len(lab.cluster.squeue()) == 1000
    assert list(submissions(lab).values()) == [1000]
    took = []
    for _ in range(3):
        began = time.monotonic()
        standing = lab.json("status")
        took.append(time.monotonic() - began)
    print("status took " + ", ".join(f"{s:.2f} s" for s in took))
    assert standing["state"] == "running"
    began = time.time()
    (lab.job_dir / "finish").touch()
    print(f"{empty_after(lab, began):.1f} s from the end to an empty queue")
    lab.until_ended(process)
    print(f"{time.time() - began:.1f} s to the end of the command")
    assert list(submissions(lab).values()) == [1000]


FATES = (
    NOTE
    + """
def objective(params, trial):
    note("begun", tid=trial.tid, fate=params["fate"], node=os.environ["SLURMD_NODENAME"],
         job=os.environ["SLURM_ARRAY_JOB_ID"] + "_" + os.environ["SLURM_ARRAY_TASK_ID"])
    if params["fate"] == "oom":
        taken = bytearray(b"x") * (1 << 30)
    with open("../notes") as notes:
        is_first = sum(f'"fate": "{params["fate"]}"' in line for line in notes) == 1
    time.sleep(120 if is_first else 5)
    return 0.0
"""
)
FATE_SETTINGS = """
objective: {python: "objective.py:objective"}
space: {fate: {choice: [scancel, node, preempt, oom, wait]}}
points: [{fate: oom}, {fate: scancel}, {fate: node}, {fate: preempt}]
sampler: {name: random, seed: 1}
budget: {trials: 3}
trial: {heartbeat_s: 1}
launcher: {slurm: {workers: 1, partition: gpu, mem_gb: 0.4, walltime: "00:10:00", grace_s: 5}}
"""


def test_each_end_of_a_worker_is_told_with_what_to_do(lab):
    lab.write(FATES, FATE_SETTINGS)
    process = lab.start("run")

    def begun(fate):
        lab.until(lambda: any(note.get("fate") == fate for note in lab.notes()), 90)
        return next(note for note in lab.notes() if note.get("fate") == fate)

    def told(tid):
        """What the table of trials says of one while it is tried again."""

        def line():
            words = next(
                (row.split() for row in lab.hpcho("trials").stdout.splitlines() if row.split()[:1] == [str(tid)]), ()
            )
            return "its job" in " ".join(words) and " ".join(words)

        return lab.until(line)

    job = begun("scancel")["job"]
    lab.cluster.run(["scancel", job])
    assert f" scancel its job {job} was cancelled on gpu" in told(1)
    node = begun("node")["node"]
    lab.cluster.nodedown(node)
    assert f" node node {node} failed under its job " in told(2)
    lab.cluster.nodeup(node)
    node = begun("preempt")["node"]
    lab.cluster.submit("--partition=urgent", f"--nodelist={node}", "--exclusive", "--time=1", "--wrap=true")
    assert f"was preempted on {node}" in told(3)
    lab.until_ended(process)
    (oom,) = [row for row in lab.trials() if row["state"] == "error"]
    assert (oom["tid"], oom["cause"], oom["attempts"]) == (0, "oom", 2)
    assert "raise launcher.slurm.mem_gb" in oom["error"]
    standing = [line.split() for line in lab.hpcho("status").stdout.splitlines()]
    assert ["failures", "oom", "1"] in standing
    assert ["interrupted", "scancel", "1", "node", "1", "preempted", "1", "(tried", "again)"] in standing
    causes = [(attempt["tid"], attempt["cause"]) for attempt in lab.attempts()]
    assert causes == [
        *[(0, "oom"), (0, "oom")],
        *[(1, "scancel"), (1, None)],
        *[(2, "node"), (2, None)],
        *[(3, "preempted"), (3, None)],
    ]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("partition: nosuch", "invalid partition specified: nosuch"),
        ('setup: ["module load nosuch"]', "launcher.slurm.setup: exit status 127: module load nosuch"),
        ("python: /no/such/python", "/no/such/python"),
    ],
)
def test_a_set_up_that_cannot_work_fails_once_with_the_reason(lab, more, reason):
    spec = settings(workers=16, more=more)
    lab.write(NAP.replace("{seconds}", "0"), spec.replace("partition: gpu, ", "") if "partition" in more else spec)
    done = lab.run(code=4)
    assert reason in done.stderr
    assert sum(submissions(lab).values()) <= 1
    assert lab.cluster.squeue() == []
    assert lab.processes() == []


def test_an_objective_that_cannot_be_loaded_costs_one_worker(lab):
    lab.write("import nosuch\n\ndef objective(params):\n    return 0.0\n", settings(workers=16))
    done = lab.run(code=1)
    assert "No module named 'nosuch'" in done.stderr
    assert sum(submissions(lab).values()) == 1
    assert lab.cluster.squeue() == []


def test_workers_of_a_killed_run_go_on_and_the_next_run_has_them(lab):
    nap(lab, 1, trials=60)
    process = lab.start("run")
    lab.until(lambda: len(lab.workers()) == 4)
    lab.until_begun(4)
    process.kill()
    process.wait()
    jobs = {job.id for job in lab.cluster.squeue()}
    ended = sum(note["what"] == "ended" for note in lab.notes())
    lab.until(lambda: sum(note["what"] == "ended" for note in lab.notes()) >= ended + 4)
    process = lab.start("run")
    lab.until(lambda: lab.json("status")["state"] == "running")
    lab.until(lambda: sum(note["what"] == "ended" for note in lab.notes()) >= 50)
    assert {job.id for job in lab.cluster.squeue()} <= jobs
    lab.until_ended(process)
    assert sum(submissions(lab).values()) == 4
    assert {row["attempts"] for row in lab.trials()} == {1}
    assert lab.cluster.squeue() == []


def test_workers_of_a_killed_run_leave_when_nothing_is_left_to_do(lab):
    nap(lab, 1, trials=200, more="idle_exit_s: 3")
    process = lab.start("run")
    lab.until(lambda: len(lab.workers()) == 4)
    process.kill()
    process.wait()
    lab.until(lambda: not lab.cluster.squeue())
    notes = Counter(note["what"] for note in lab.notes())
    assert notes["begun"] == notes["ended"] < 200
    lab.run("--set", f"budget.trials={notes['ended'] + 4}")
    assert {row["attempts"] for row in lab.trials() if row["state"] == "done"} == {1}


def test_one_interrupt_lets_running_trials_finish(lab):
    nap(lab, 12, trials=8)  # long enough for all four to be seen at once
    process = lab.start("run")
    lab.until(lambda: " 4 busy" in (lab.folder / "run.log").read_text())
    process.send_signal(signal.SIGINT)
    assert "finishing 4 running trials" in lab.until_ended(process, code=130)
    assert lab.cluster.squeue() == []
    notes = Counter(note["what"] for note in lab.notes())
    assert notes["begun"] == notes["ended"]
    assert Counter(row["state"] for row in lab.trials())["done"] == notes["ended"]
    lab.run()
    assert {row["attempts"] for row in lab.trials()} == {1}


def test_a_second_interrupt_gives_running_trials_back(lab):
    nap(lab, 60)
    process = lab.start("run")
    lab.until_begun()
    process.send_signal(signal.SIGINT)
    lab.until(lambda: "finishing" in (lab.folder / "run.log").read_text())
    process.send_signal(signal.SIGINT)
    assert "giving running trials back" in lab.until_ended(process, code=130)
    assert lab.cluster.squeue() == []
    assert {(row["state"], row["attempts"]) for row in lab.trials()} == {("new", 0)}
