"""A SLURM cluster and an ordinary user on it. All tests here are slow, and one after another: some take nodes down."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import pytest
import testbed

VARIANTS = {"full": "slurm", "plain": "plain"}  # and their folders
ENDS = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "OUT_OF_MEMORY"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group("slurm"))


@dataclass(frozen=True)
class Job:
    """A row of squeue: one job or one task of an array."""

    id: str  # as SLURM prints it: 12, or 12_3 of an array
    state: str
    reason: str
    node: str
    name: str


class Cluster(testbed.Person):
    """The user at a cluster's prompt. What their folder submitted is cancelled at the end, and nodes come back."""

    def __init__(self, name, variant):
        self.config = testbed.TESTBED / VARIANTS[variant] / "etc" / "slurm.conf"
        super().__init__(name, {"SLURM_CONF": str(self.config)})
        self._variant = variant
        self._down = set()

    def submit(self, *options):
        """The id of the job that sbatch makes of options and a script, or of ``--wrap``."""
        return self.run(["sbatch", "--parsable", *options]).stdout.strip()

    def squeue(self, *options):
        """The jobs of this test's folder that squeue still shows, as rows; also ended ones with ``--states=all``."""
        row = "%i\t%T\t%r\t%N\t%j\t%Z"
        lines = self.run(["squeue", "--noheader", "--array", "--me", "--format", row, *options]).stdout.splitlines()
        rows = [line.split("\t") for line in lines]
        return [Job(*row[:5]) for row in rows if Path(row[5]).is_relative_to(self.folder)]

    def state(self, job):
        """A job's state in squeue; None once it is forgotten there."""
        return next((row.state for row in self.squeue("--states=all") if row.id == job), None)

    def await_state(self, job, state, timeout=testbed.PATIENCE_S):
        """Wait until squeue shows a state; an end that is another one will not become it."""
        seen = []
        testbed.until(lambda: seen.append(self.state(job)) or seen[-1] in {state, *ENDS}, timeout)
        trail = " ".join(map(str, dict.fromkeys(seen)))
        assert seen[-1] == state, f"{job} is not {state}, it was {trail}\n{self.output(job)}"

    def accounted(self, job):
        """What sacct knows about a job once it has ended: {"12": "TIMEOUT", "12.batch": "CANCELLED", ...}."""
        command = ["sacct", "--noheader", "--parsable2", "--jobs", job, "--format", "JobID,State,End"]

        def ended():
            rows = [line.split("|") for line in self.run(command).stdout.splitlines()]
            return rows and all(end != "Unknown" for _, _, end in rows) and rows

        return {name: state.split()[0] for name, state, _ in testbed.until(ended)}

    def output(self, job):
        """What a job wrote, with sbatch's own name for the file."""
        path = self.folder / f"slurm-{job}.out"
        return path.read_text() if path.exists() else ""

    def root(self, argv):
        """A command of the cluster's administrator, such as scontrol."""
        return self.run(argv, user=None, group=None, extra_groups=None)

    def nodedown(self, node):
        """A node's power fails: everything on it is killed, its jobs end as NODE_FAIL."""
        self._down.add(node)
        self._script("nodedown", node)

    def nodeup(self, node):
        """The node is back."""
        self._script("nodeup", node)
        self._down.discard(node)

    def close(self):
        """Nothing of the test stays: no job, no node down."""
        for node in sorted(self._down):
            self.nodeup(node)
        if jobs := self.squeue():
            self.run(["scancel", *(job.id for job in jobs)])
            testbed.until(lambda: not self.squeue())

    def _script(self, *arguments):
        done = testbed.call("slurm", *arguments, SLURM_TESTBED=self._variant)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def _full():
    """Started once a session, and left running for the next one: ``slurm/testbed/slurm stop`` ends it."""
    testbed.start("slurm", SLURM_TESTBED="full")


@pytest.fixture(scope="session")
def _plain():
    testbed.start("slurm", SLURM_TESTBED="plain")


@pytest.fixture
def cluster(request, _full):
    """The cluster with accounting, GPUs and preemption."""
    with contextlib.closing(Cluster(request.node.originalname, "full")) as cluster:
        yield cluster


@pytest.fixture
def plain(request, _plain):
    """The cluster where sacct fails and an array has at most 4 tasks."""
    with contextlib.closing(Cluster(request.node.originalname, "plain")) as cluster:
        yield cluster
