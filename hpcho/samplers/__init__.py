"""Proposes points: hpcho's own sampler and hyperopt's behind one pure interface."""

from hpcho.samplers.base import Sampler
from hpcho.samplers.catalogue import build, check_workers

__all__ = ["Sampler", "build", "check_workers"]
