"""Runs an experiment: reaps, suggests, tops up workers, ends it."""

from hpcho.controller.controller import Controller
from hpcho.controller.end import End
from hpcho.controller.rebuild import check_not_lost, is_lost, rebuild
from hpcho.controller.resume import Opening, adopt_settings, archive, check_identity, prepare
from hpcho.controller.seat import LEASE_S, Seat

__all__ = [
    "LEASE_S",
    "Controller",
    "End",
    "Opening",
    "Seat",
    "adopt_settings",
    "archive",
    "check_identity",
    "check_not_lost",
    "is_lost",
    "prepare",
    "rebuild",
]
