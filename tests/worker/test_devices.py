"""Each worker of a job gets its own GPUs."""

import pytest

from hpcho.worker.devices import MODEST, part

UUIDS = "GPU-0a1b,GPU-2c3d"
MIGS = "MIG-GPU-5c89852c/1/0,MIG-3eb87630-93d5"


def step(workers, place, gpus=None, **environ):
    """The environment of a task of a job step on one node."""
    environ = {name: str(value) for name, value in environ.items()}
    given = {} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus}
    return {
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_TASKS_PER_NODE": str(workers),
        "SLURM_LOCALID": str(place),
        **given,
    } | environ


def seen(environ):
    return part(environ).get("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(
    ("gpus", "workers", "expected"),
    [
        ("0,1", 2, ["0", "1"]),
        ("0,1,2,3", 2, ["0,1", "2,3"]),
        ("4,5,6", 2, ["4", "5"]),
        (UUIDS, 2, UUIDS.split(",")),
        (MIGS, 2, MIGS.split(",")),
    ],
)
def test_gpus_are_divided_among_the_workers_of_a_job(gpus, workers, expected):
    assert [seen(step(workers, place, gpus)) for place in range(workers)] == expected
    assert all(set(part(step(workers, place, gpus))) == {"CUDA_VISIBLE_DEVICES"} for place in range(workers))


def test_workers_that_share_a_gpu_do_not_take_all_of_its_memory():
    changes = [part(step(4, place, "0,1", HPCHO_WORKERS_PER_GPU=2)) for place in range(4)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in changes] == ["0", "0", "1", "1"]
    assert all(each.items() >= MODEST.items() for each in changes)


def test_one_gpu_for_all_stays_as_it_is_but_for_its_memory():
    assert part(step(2, 1, "0", HPCHO_WORKERS_PER_GPU=2)) == MODEST


def test_more_workers_than_gpus_share_them():
    assert [seen(step(3, place, "0,1")) for place in range(3)] == ["0", "1", "0"]
    assert part(step(3, 2, "0,1")).items() >= MODEST.items()


def test_what_the_user_has_set_stays():
    environ = step(2, 0, "0", HPCHO_WORKERS_PER_GPU=2, TF_FORCE_GPU_ALLOW_GROWTH="false")
    assert part(environ) == {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def test_gpus_that_the_scheduler_has_bound_stay():
    assert part(step(2, 1, "1", SLURM_STEP_GPUS="0,1")) == {}
    assert part(step(2, 1, "0", SLURM_STEP_GPUS="0,1")) == {}  # with ConstrainDevices each task counts from 0


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"CUDA_VISIBLE_DEVICES": "0,1"},
        {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_LOCALID": "0", "SLURM_TASKS_PER_NODE": "4"},  # a batch script's own
        step(1, 0, "0,1"),
        step(2, 0),
        step(2, 0, ""),
        step(2, 0, "NoDevFiles"),
        step(2, 0, "-1"),
    ],
)
def test_without_gpus_or_alone_nothing_changes(environ):
    assert part(environ) == {}


def test_the_jobs_gpus_are_named_where_none_is_said_to_be_visible():
    assert seen(step(2, 1, SLURM_JOB_GPUS="0-1")) == "1"


def test_a_steps_tasks_are_counted_on_this_node():
    environ = step("1(x2),2", 1, "0,1", SLURM_NODEID=2)
    assert seen(environ) == "1"
    assert seen(environ | {"SLURM_NODEID": "0"}) is None
