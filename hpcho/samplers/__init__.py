"""Proposes points: hyperopt's own samplers behind one pure interface."""

from hpcho.samplers.base import Sampler

__all__ = ["Sampler"]
