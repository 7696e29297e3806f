"""Which GPUs a worker's trials see, where its job has several workers.

SLURM gives GPUs to a job. Unless it was asked to bind them, each worker of the job sees all of them, and TensorFlow
takes the whole memory of all that it sees.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["part"]

VISIBLE = "CUDA_VISIBLE_DEVICES"
MODEST = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""TensorFlow and JAX then take of a GPU's memory what they need, when they need it."""


def part(environ: Mapping[str, str]) -> dict[str, str]:
    """What to change in ``environ``, a worker's environment, for its trials to see their own GPUs and to share well.

    Nothing where the worker is alone in its job, or the scheduler has set its GPUs apart. What the user has set stays,
    but for CUDA_VISIBLE_DEVICES. Pure.
    """
    per_gpu = max(_count(environ, "HPCHO_WORKERS_PER_GPU"), 1)
    of_job = _listed(environ.get("SLURM_STEP_GPUS") or environ.get("SLURM_JOB_GPUS"))
    visible = _listed(environ.get(VISIBLE)) if VISIBLE in environ else of_job
    place, workers = _count(environ, "SLURM_LOCALID"), _workers_here(environ)
    mine, is_shared = visible, per_gpu > 1
    is_bound = 0 < len(visible) < len(of_job)
    if visible and workers > 1 and not is_bound:
        is_shared = is_shared or workers > len(visible)
        each = 1 if is_shared else len(visible) // workers
        first = place // per_gpu % len(visible) if is_shared else place * each
        mine = visible[first : first + each]
    changes = {VISIBLE: ",".join(mine)} if mine != visible else {}
    return changes | ({name: value for name, value in MODEST.items() if name not in environ} if is_shared else {})


def _workers_here(environ: Mapping[str, str]) -> int:
    """Tasks of this job step on this node; 1 outside of a step: a batch script starts one worker by itself."""
    if "SLURM_STEP_ID" not in environ:
        return 1
    tasks: list[int] = []
    text = environ.get("SLURM_STEP_TASKS_PER_NODE") or environ.get("SLURM_TASKS_PER_NODE") or "1"
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):  # 2(x3),1
        tasks += [int(count)] * int(times or 1)
    node = _count(environ, "SLURM_NODEID")
    return tasks[node] if node < len(tasks) else 1


def _listed(text: str | None) -> list[str]:
    """GPUs by number, range of numbers, UUID or MIG name; none where the list says that there are none."""
    found: list[str] = []
    for name in (text or "").replace(" ", "").split(","):
        if numbers := re.fullmatch(r"(\d+)-(\d+)", name):
            found += map(str, range(int(numbers[1]), int(numbers[2]) + 1))
        elif name and name not in ("-1", "NoDevFiles", "void", "none"):
            found.append(name)
    return found


def _count(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else 0
