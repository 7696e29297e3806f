"""Why a worker is gone: a job's end in words, and the two signs."""

import time

import pytest

from hpcho.experiment.launchers import SlurmLauncher as Spec
from hpcho.launchers import endings
from hpcho.launchers.base import Crew
from hpcho.launchers.queue import Queue
from hpcho.launchers.scheduler import Account, Row, SlurmAway
from hpcho.launchers.silence import Silence
from hpcho.trial import Cause, Owner

GB = 2**30
SPEC = Spec.model_validate({"mem_gb": 32, "walltime": "04:00:00"})


def words(state, account=None, spec=SPEC, reason="None", node="gpu1"):
    failure = endings.failure(Row("12_3", state, 100, reason, node), account, spec)
    return failure.cause, failure.error


@pytest.mark.parametrize(
    ("state", "cause", "said"),
    [
        ("PREEMPTED", Cause.PREEMPTED, "its job 12_3 was preempted on gpu1: the next attempt goes on from what"),
        ("PENDING", Cause.PREEMPTED, "its job 12_3 was taken off its node and put back into the queue (PENDING)"),
        ("NODE_FAIL", Cause.NODE, "node gpu1 failed under its job 12_3"),
        ("BOOT_FAIL", Cause.NODE, "node gpu1 did not boot for its job 12_3"),
        (
            "TIMEOUT",
            Cause.WALLTIME,
            "its job 12_3 reached its wall time (04:00:00) on gpu1: raise launcher.slurm.walltime",
        ),
        ("DEADLINE", Cause.WALLTIME, "its job 12_3 reached its deadline on gpu1"),
        ("CANCELLED", Cause.SCANCEL, "its job 12_3 was cancelled on gpu1 (scancel, by a user or an administrator)"),
        ("COMPLETING", Cause.NODE, "its job 12_3 on gpu1 does not end although its worker has gone silent"),
        ("GONE", Cause.NODE, "SLURM no longer knows its job 12_3"),
        ("COMPLETED", Cause.NODE, "the worker of job 12_3 ended on gpu1"),
    ],
)
def test_states_have_causes_and_words(state, cause, said):
    told = words(state)
    assert told[0] is cause
    assert told[1].startswith(said)


def test_an_exit_code_is_told_with_its_signal():
    assert words("FAILED", Account("FAILED", 137))[1] == "the worker of job 12_3 ended on gpu1 (exit code 137: SIGKILL)"
    assert words("FAILED", Account("FAILED", 4))[1].endswith("(exit code 4)")
    assert words("FAILED", reason="NonZeroExitCode")[1].endswith("(NonZeroExitCode)")


def test_a_worker_that_left_while_the_store_was_away_says_so_with_its_exit_code():
    told = words("FAILED", Account("FAILED", 3))
    assert told == (Cause.NETWORK, "its job 12_3 on gpu1 had to leave while the store was away")


def test_memory_is_told_with_the_key_to_change():
    used = Account("OUT_OF_MEMORY", None, "gpu1", int(31.8 * GB), 32 * GB)
    assert words("OUT_OF_MEMORY", used) == (
        Cause.OOM,
        "killed for memory at 31.8 of 32 GB (job 12_3 on gpu1): raise launcher.slurm.mem_gb",
    )
    early = Account("OUT_OF_MEMORY", None, "gpu1", 3 * GB, 32 * GB)  # the last measurement was long before
    assert "killed for memory beyond its 32 GB" in words("OUT_OF_MEMORY", early)[1]
    assert "killed for memory beyond its 32 GB" in words("OUT_OF_MEMORY")[1]
    without = Spec.model_validate({})
    assert words("OUT_OF_MEMORY", None, without)[1] == (
        "killed for memory by SLURM (job 12_3 on gpu1): set launcher.slurm.mem_gb"
    )


class Cluster:
    """What squeue and sacct answer."""

    def __init__(self):
        self.rows, self.known, self.is_away = [], {}, False

    def queue(self, jobs=()):
        if self.is_away:
            raise SlurmAway("squeue: away")
        return [row for row in self.rows if not jobs or row.id in jobs]

    def accounts(self, jobs):
        return {job: account for job, account in self.known.items() if job in jobs}


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def queue(cluster):
    return Queue(cluster, "hpcho:1234")


def row(state, job="12_3", comment="hpcho:1234", **more):
    return Row(job, state, node=more.pop("node", "gpu1"), comment=comment, **more)


def test_jobs_are_known_by_a_word_of_their_comment(cluster, queue):
    cluster.rows = [row("RUNNING"), row("PENDING", "13", "theirs hpcho:1234"), row("RUNNING", "14", "hpcho:12345")]
    queue.look()
    assert [job.row.id for job in queue.live()] == ["12_3", "13"]


def test_one_answer_that_misses_a_job_proves_nothing(cluster, queue):
    cluster.rows = [row("RUNNING")]
    queue.look()
    cluster.rows = []
    for _ in range(2):
        queue.look()
        assert [job.row.state for job in queue.live()] == ["RUNNING"]
    cluster.rows = [row("RUNNING")]
    queue.look()
    cluster.rows = []
    for _ in range(3):
        assert queue.live()
        queue.look()
    assert not queue.live()
    assert queue.jobs["12_3"].row.state == "GONE"


def test_a_job_that_only_accounting_calls_running_is_gone_in_the_end(cluster, queue):
    cluster.rows, cluster.known = [row("RUNNING")], {"12_3": Account("RUNNING")}
    queue.look()
    cluster.rows = []
    for _ in range(19):
        queue.look()
    assert queue.live()
    queue.look()
    assert not queue.live()


def test_what_squeue_has_forgotten_accounting_knows(cluster, queue):
    cluster.known = {"12_3": Account("NODE_FAIL", 0, "gpu1")}
    queue.look(asked={"12_3"})
    assert queue.jobs["12_3"].row == Row("12_3", "NODE_FAIL", node="gpu1")


def test_submitted_jobs_count_before_squeue_shows_them(cluster, queue):
    queue.add([Row("12_0", "PENDING", comment="hpcho:1234")])
    queue.look()
    assert [job.row.id for job in queue.live()] == ["12_0"]


def test_workers_of_jobs_are_counted_by_what_they_do(cluster, queue):
    states = ("RUNNING", "RUNNING", "RUNNING", "PENDING", "COMPLETING", "COMPLETED")
    cluster.rows = [row(state, f"12_{i}") for i, state in enumerate(states)]
    cluster.rows.append(row("RUNNING", "9", comment=""))
    queue.look()
    crew = queue.crew(["12_0", "12_0", "12_1", None, "9"], {"12_0", "12_1"}, 2)
    assert crew == Crew(idle=1, starting=2, queued=2)


def test_while_slurm_is_away_all_is_as_it_was(cluster, queue):
    cluster.rows = [row("RUNNING")]
    queue.look()
    cluster.is_away = True
    for _ in range(5):
        with pytest.raises(SlurmAway):
            queue.look()
    assert [job.row.state for job in queue.live()] == ["RUNNING"]


def test_a_failed_job_whose_step_ran_out_of_memory_stays_so(cluster, queue):
    cluster.rows, cluster.known = [row("FAILED")], {"12_3": Account("OUT_OF_MEMORY", 1)}
    for _ in range(3):
        queue.look()
        assert queue.jobs["12_3"].row.state == "OUT_OF_MEMORY"


HEARTBEAT_S = 0.05  # 10 of them are soon over
OWNER = Owner("gpu1", 7, 1, "12_3")


@pytest.fixture
def silence(queue):
    return Silence(queue, SPEC, HEARTBEAT_S, lambda: None)


def told(silence, queue, silent_s=1.0, owner=OWNER):
    silence.death_of(owner, silent_s)
    queue.look(silence.silent_jobs())
    return silence.death_of(owner, silent_s)


def test_silence_alone_is_no_death(cluster, queue, silence):
    cluster.rows = [row("RUNNING")]
    assert told(silence, queue, 5 * HEARTBEAT_S) is None
    assert not silence.is_cut("12_3")


def test_an_ended_job_alone_is_no_death(cluster, queue, silence):
    cluster.rows = [row("PREEMPTED")]
    assert told(silence, queue, 1.9 * HEARTBEAT_S) is None
    assert told(silence, queue, 2.1 * HEARTBEAT_S).cause is Cause.PREEMPTED


def test_what_was_seen_before_the_silence_says_nothing(cluster, queue, silence):
    cluster.rows = [row("PENDING", node="")]
    queue.look()
    assert silence.death_of(OWNER, 1.0) is None  # it may have begun since
    cluster.rows = [row("RUNNING")]
    queue.look()
    assert silence.death_of(OWNER, 5 * HEARTBEAT_S) is None


def test_long_silence_cuts_the_job_and_then_tells(cluster, queue, silence):
    cluster.rows = [row("RUNNING")]
    told(silence, queue)
    time.sleep(11 * HEARTBEAT_S)
    assert told(silence, queue) is None
    assert silence.is_cut("12_3")
    cluster.rows = [row("CANCELLED")]
    failure = told(silence, queue)
    assert failure.cause is Cause.NODE
    assert failure.error == "no sign of life from the worker in job 12_3 on gpu1: the job was cancelled"


def test_a_job_with_other_workers_that_live_is_left_alone(cluster, queue, silence):
    cluster.rows = [row("RUNNING")]
    told(silence, queue)
    time.sleep(11 * HEARTBEAT_S)
    silence.death_of(Owner("gpu1", 8, 1, "12_3"), 0.0)
    failure = told(silence, queue)
    assert failure.cause is Cause.NODE
    assert "other workers of the job live, so it was left alone" in failure.error
    assert not silence.is_cut("12_3")


def test_a_suspended_job_lives_and_may_be_silent_a_while_after(cluster, queue, silence):
    cluster.rows = [row("SUSPENDED")]
    told(silence, queue)
    time.sleep(11 * HEARTBEAT_S)
    assert told(silence, queue) is None
    cluster.rows = [row("RUNNING")]
    assert told(silence, queue) is None
    assert not silence.is_cut("12_3")


def test_the_details_of_an_end_are_waited_for(cluster, queue, silence):
    cluster.rows = [row("FAILED")]
    assert told(silence, queue) is None
    cluster.known = {"12_3": Account("FAILED", 137)}
    assert "exit code 137" in told(silence, queue).error


def test_a_job_that_was_never_seen_may_be_hidden(cluster, queue, silence):
    for _ in range(4):
        assert told(silence, queue, 9 * HEARTBEAT_S) is None
    assert told(silence, queue, 11 * HEARTBEAT_S).error.startswith("SLURM no longer knows its job 12_3")
