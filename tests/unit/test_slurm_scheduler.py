"""SLURM's commands, with answers recorded from SLURM 22.05."""

from datetime import datetime

import pytest

from hpcho.errors import LauncherError
from hpcho.launchers.scheduler import (
    Account,
    QueueFull,
    Row,
    Scheduler,
    SlurmAway,
    parse_accounts,
    parse_queue,
    wait_words,
)

QUEUE = """\
6_1|CANCELLED|0:08|None|cpu1|2026-11-25T13:00:00|(null)
30_2|FAILED|0:04|NonZeroExitCode|cpu1|2026-11-25T13:00:00|hpcho:1234
3|PREEMPTED|1-02:00:20|None|cpu1|2026-11-24T13:00:00|a|b hpcho:1234
14_2|PENDING|0:00|JobArrayTaskLimit||N/A|(null)
15|PENDING|0:00|Resources||2026-11-25T14:30:00|hpcho:1234
66_[4-12,16-19,21-29,801-899]|CANCELLED|0:00|None||N/A|hpcho:1234
14_0|COMPLETED|INVALID|None|cpu2|2026-11-25T13:00:00|(null)
"""

ACCOUNTS = """\
55_0|RUNNING|0:0||200M|cpu1
55_0.batch|RUNNING|0:0|||cpu1
55_2|FAILED|9:0||200M|cpu1
55_2.batch|FAILED|9:0|12296K||cpu1
55_2.0|CANCELLED|0:9|22400K||cpu1
294_0|FAILED|1:0||1G|gpu1
294_0.batch|FAILED|1:0|12188K||gpu1
294_0.0|OUT_OF_MEMORY|0:125|1051016K||gpu1
295_0|CANCELLED by 1001|0:0||200Mc|None assigned
301|FAILED|3:0||1.50Gn|cpu1
301.0|FAILED|3:0|||cpu1
"""


def test_rows_of_squeue():
    assert parse_queue("CLUSTER: testbed\n" + QUEUE) == [
        Row("6_1", "CANCELLED", 8, "None", "cpu1", ""),
        Row("30_2", "FAILED", 4, "NonZeroExitCode", "cpu1", "hpcho:1234"),
        Row("3", "PREEMPTED", 93620, "None", "cpu1", "a|b hpcho:1234"),
        Row("14_2", "PENDING", 0, "JobArrayTaskLimit", "", ""),
        Row("15", "PENDING", 0, "Resources", "", "hpcho:1234", datetime(2026, 11, 25, 14, 30).timestamp()),  # noqa: DTZ001 - SLURM's times are local
        Row("14_0", "COMPLETED", 0, "None", "cpu2", ""),
    ]


@pytest.mark.parametrize(
    ("starts", "words"),
    [
        ([None], "Priority"),
        ([30.0], "Priority, expected to start soon"),
        ([-900.0], "Priority, expected to start soon"),
        ([None, 7200.0, 130.0], "Priority, expected to start in about 2 min"),
        ([14 * 60.0], "Priority, expected to start in about 14 min"),
        ([22 * 60.0], "Priority, expected to start in about 20 min"),
        ([7 * 3600.0], "Priority, expected to start in about 7 h"),
        ([50 * 3600.0], "Priority, expected to start in about 2 days"),
    ],
)
def test_why_jobs_wait_and_for_how_long_about(starts, words):
    rows = [Row(str(i), "PENDING", 0, "Priority", starts_at=after and 1e9 + after) for i, after in enumerate(starts)]
    assert wait_words(rows, 1e9) == words


def test_a_reason_that_slurm_does_not_give():
    assert wait_words([Row("1", "PENDING")], 0.0) == "no reason given"


def test_what_accounting_knows():
    assert parse_accounts(ACCOUNTS) == {
        "55_0": Account("RUNNING", 0, "cpu1", None, 200 * 2**20),
        "55_2": Account("FAILED", 137, "cpu1", 22400 * 2**10, 200 * 2**20),
        "294_0": Account("OUT_OF_MEMORY", 1, "gpu1", 1051016 * 2**10, 2**30),
        "295_0": Account("CANCELLED", 0, "", None, 200 * 2**20),
        "301": Account("FAILED", 3, "cpu1", None, 3 * 2**29),
    }


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Makes a command that answers as it was recorded, and writes down what it was called with."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(program, output="", errors="", status=0):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / program).write_text(output)
        (tmp_path / "out" / f"{program}.err").write_text(errors)
        path = tmp_path / program
        script = f'/bin/cat "{tmp_path}/out/{program}"\n/bin/cat "{tmp_path}/out/{program}.err" >&2\nexit {status}\n'
        path.write_text(
            f'#!/bin/sh\necho "$@" >>"{tmp_path}/{program}.calls"\n/usr/bin/env >"{tmp_path}/{program}.env"\n{script}'
        )
        path.chmod(0o755)
        return lambda: (tmp_path / f"{program}.calls").read_text().splitlines()

    return make


def test_one_squeue_for_all_of_the_user(slurm):
    calls = slurm("squeue", QUEUE)
    assert len(Scheduler().queue()) == 6
    assert calls() == ["--noheader --array --states=all --format=%i|%T|%M|%r|%N|%S|%k --me"]


def test_a_job_that_slurm_has_forgotten_is_no_error(slurm):
    slurm("squeue", errors="slurm_load_jobs error: Invalid job id specified\n", status=1)
    assert Scheduler().queue(["12"]) == []


def test_a_failing_squeue_is_away_in_its_own_words(slurm):
    slurm("squeue", errors="slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n", status=1)
    with pytest.raises(SlurmAway, match=r"^squeue: slurm_load_jobs error: Unable to contact slurm controller"):
        Scheduler().queue()


def test_a_missing_command_says_where_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LauncherError, match=r"squeue cannot be started here .*run this where jobs can be submitted"):
        Scheduler().queue()


def test_what_hangs_is_away(slurm, tmp_path):
    slurm("squeue")
    (tmp_path / "squeue").write_text("#!/bin/sh\n/bin/sleep 30\n")
    with pytest.raises(SlurmAway, match=r"^squeue: no answer within 0.2 s$"):
        Scheduler(answer_s=0.2).queue()


def test_a_cluster_without_accounting_is_asked_once(slurm, tmp_path):
    calls = slurm("sacct", errors="Slurm accounting storage is disabled\n", status=1)
    log = tmp_path / "a log.out"
    log.write_text("srun: error: gpu1: task 0: Out Of Memory\n")
    known = f"JobState=FAILED Reason=NonZeroExitCode ExitCode=137:0 NodeList=cpu1 StdOut={log} Power="
    slurm("scontrol", f"JobId=58 ArrayJobId=55 {known} \n")
    scheduler = Scheduler()
    for _ in range(2):
        assert scheduler.accounts(["55_2"]) == {"55_2": Account("OUT_OF_MEMORY", 137, "cpu1")}
    assert len(calls()) == 1


def test_a_slurmdbd_that_is_down_is_not_no_accounting(slurm):
    slurm("sacct", errors="sacct: error: Sending PersistInit msg: Connection refused\n", status=1)
    with pytest.raises(SlurmAway):
        Scheduler().accounts(["55_2"])


def test_many_tasks_are_cancelled_in_one_message(slurm):
    calls = slurm("scancel")
    Scheduler().cancel(["12_3", "7", "12_1", "12_2", "12_9", "8_0"])
    Scheduler().cancel(["12_3"], "USR2")
    Scheduler().cancel([])
    assert calls() == ["--quiet 7 12_[1-3,9] 8_0", "--quiet --signal=USR2 12_3"]


def test_cancelling_what_has_ended_is_no_error(slurm):
    slurm("scancel", errors="scancel: error: Kill job error on job id 60_13: Invalid job id specified\n", status=1)
    Scheduler().cancel(["60_13"])


LIMIT = (
    "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
)


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (
            f"sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: {LIMIT}",
            QueueFull,
            "QOSMaxSubmitJobPerUserLimit",
        ),
        (f"sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: {LIMIT}", QueueFull, "AssocMaxSubmitJobLimit"),
        (f"sbatch: error: {LIMIT}", QueueFull, "a limit of your account or QOS"),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: {LIMIT}", LauncherError, "QOSMaxWallDuration"),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", SlurmAway, "timed out"),
        (
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
            SlurmAway,
            "Unable to contact",
        ),
        ("sbatch: error: invalid partition specified: nosuch", LauncherError, "invalid partition specified: nosuch"),
        ("sbatch: unrecognized option '--badoption'", LauncherError, "--badoption"),
    ],
)
def test_refusals_of_sbatch(slurm, tmp_path, words, kind, message):
    slurm("sbatch", errors=words + "\n", status=1)
    script = tmp_path / "script"
    script.write_text("#!/bin/bash\n")
    with pytest.raises(LauncherError, match=message) as error:
        Scheduler().submit(script)
    assert error.type is kind


def test_what_the_script_says_the_environment_does_not_override(slurm, tmp_path, monkeypatch):
    slurm("sbatch", "12;testbed\n")
    for name in ("SBATCH_TIMELIMIT", "SBATCH_ACCOUNT", "SLURM_JOB_END_TIME", "SLURM_CONF", "SQUEUE_FORMAT"):
        monkeypatch.setenv(name, "x")
    script = tmp_path / "script"
    script.write_text("#!/bin/bash\n#SBATCH --time=10\n")
    assert Scheduler().submit(script) == "12"
    names = {line.partition("=")[0] for line in (tmp_path / "sbatch.env").read_text().splitlines()}
    assert {"SBATCH_ACCOUNT", "SLURM_CONF"} <= names
    assert names.isdisjoint({"SBATCH_TIMELIMIT", "SLURM_JOB_END_TIME", "SQUEUE_FORMAT"})


def test_the_largest_array(slurm):
    calls = slurm("scontrol", "KillWait                = 5 sec\nMaxArraySize            = 4\nMinJobAge = 300 sec\n")
    scheduler = Scheduler()
    assert (scheduler.largest_array, scheduler.largest_array) == (4, 4)
    assert calls() == ["show config"]
