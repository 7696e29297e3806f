"""Proposes points: hpcho's own sampler and hyperopt's behind one pure interface."""

from hpcho.samplers.base import Sampler
from hpcho.samplers.catalogue import build, check_workers
from hpcho.samplers.knowledge import Knowledge, read_knowledge

__all__ = ["Knowledge", "Sampler", "build", "check_workers", "read_knowledge"]
