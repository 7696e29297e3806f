"""hpcho tunes the hyperparameters of Keras models, on a laptop or a SLURM cluster.

From Python: ``hpcho.run("experiment.yaml")`` runs or resumes an experiment, ``hpcho.load("experiment.yaml")`` gives
what it has learnt so far. Both are in ``hpcho.api``, which is imported when one of them is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcho.api import Results, load, run

__version__ = "0.1.0"
__all__ = ["Results", "__version__", "load", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("hpcho.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
