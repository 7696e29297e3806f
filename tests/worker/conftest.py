"""Fixtures for tests with real workers."""

import psutil
import pytest
from worker_job import Job


@pytest.fixture
def job(tmp_path):
    """Makes jobs: job(code, **settings of experiment.yaml)."""
    made = []

    def make(code, **settings):
        made.append(Job(tmp_path / f"run {len(made)} é", code, **settings))
        return made[-1]

    yield make
    for each in made:
        each.store.close()
        for process in psutil.process_iter():
            try:
                environment = process.environ()
            except psutil.Error:
                continue
            if environment.get("HPCHO_JOB_DIR") == str(each.dir.path):
                process.kill()
                pytest.fail(f"a worker has left {process} behind")


@pytest.fixture
def started():
    """Collects worker processes, and ends those that are still there."""
    processes = []
    yield processes.append
    for process in processes:
        process.kill()
        process.communicate()
