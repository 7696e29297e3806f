"""Keeps trials and their files: the contract (base) and its implementations."""

from hpcho.store.base import ANY, MOVES, TrialStore

__all__ = ["ANY", "MOVES", "TrialStore"]
