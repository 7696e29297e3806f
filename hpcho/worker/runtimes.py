"""Whether this process may still be forked, as far as machine-learning runtimes are concerned."""

from __future__ import annotations

import sys

__all__ = ["started"]


def started() -> str | None:
    """The name of a runtime whose threads or device handles would not survive a fork; None when there is none.

    Importing one of these does not start it; making a tensor or a model does. Looks only at modules that are imported.
    """
    context = sys.modules.get("tensorflow.python.eager.context")
    if getattr(getattr(context, "_context", None), "_initialized", False):
        return "TensorFlow"
    bridge = sys.modules.get("jax._src.xla_bridge")
    if getattr(bridge, "_backends", None):
        return "JAX"
    cuda = sys.modules.get("torch.cuda")
    if cuda is not None and cuda.is_initialized():
        return "torch's CUDA"
    return None
