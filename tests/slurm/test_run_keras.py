"""examples/digits, as it is shipped, on the gpu partition of a cluster."""

from collections import Counter
from pathlib import Path

import pytest
from slurm_lab import SlurmLab, opened

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
SETTINGS = """
extends: digits.yaml
objective: {{python: "watched.py:objective", data: "watched.py:data"}}
space: {{epochs: {{int: [2, 3]}}, units: {{int: [16, 32]}}}}
points: null
budget: {{trials: {trials}}}
launcher: {{slurm: {{partition: gpu, gpus: 1, cpus: 2, walltime: "00:10:00", options: {{nodelist: gpu1}}, {more}}}}}
"""
WATCHED = """
import os, train
from train import data
def objective(params, data, trial):
    shown = ("CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH", "SLURM_JOB_ID", "SLURM_LOCALID")
    print(*(os.environ.get(name, "-") for name in shown))
    return train.objective(params, data, trial)
"""

pytestmark = pytest.mark.keras


@pytest.fixture
def lab(cluster):
    with opened(cluster) as lab:
        yield lab


def seen(lab: SlurmLab, trials: int, more: str):
    """Run it; returns what each trial has seen: GPUs, whether memory grows, job, number in the job."""
    lab.cluster.write("train.py", (DIGITS / "train.py").read_text())
    lab.cluster.write("digits.yaml", (DIGITS / "experiment.yaml").read_text())
    lab.write(WATCHED, SETTINGS.format(trials=trials, more=more), name="watched.py")
    said = lab.run(timeout=280).stdout
    assert f"Finished: {trials} trials are done" in said
    assert all(trial["loss"] < 2.5 for trial in lab.trials())
    assert lab.hpcho("best", "--export", "best.keras").returncode == 0
    lab.until(lambda: not lab.cluster.squeue())
    outputs = [path.read_text().split("\n")[0].split() for path in lab.job_dir.glob("trials/*/stdout.log")]
    assert len(outputs) >= trials
    return outputs


def test_each_worker_has_a_gpu_of_its_own(lab):
    devices = {(job, gpu) for gpu, _, job, _ in seen(lab, 16, "workers: 2")}
    assert Counter(gpu for _, gpu in devices) == {"0": 1, "1": 1}


def test_two_workers_share_a_gpu_and_take_its_memory_as_they_need_it(lab):
    outputs = seen(lab, 8, "workers: 2, workers_per_gpu: 2")
    assert len({(job, gpu) for gpu, _, job, _ in outputs}) == 1
    assert {number for _, _, _, number in outputs} == {"0", "1"}
    assert {growth for _, growth, _, _ in outputs} == {"true"}
