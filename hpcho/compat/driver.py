"""hyperopt's loop around a sampler, but that it ends when it was told to end."""

from __future__ import annotations

import time
from timeit import default_timer
from typing import TYPE_CHECKING, Any

from hyperopt.base import JOB_STATE_NEW, JOB_STATE_RUNNING
from hyperopt.fmin import FMinIter

if TYPE_CHECKING:
    from hpcho.compat.trials import MongoTrials

__all__ = ["Driver"]


class Driver(FMinIter):  # type: ignore[misc]  # hyperopt has no types
    """``fmin`` over a MongoTrials.

    With ``timeout`` or ``loss_threshold`` met, hyperopt goes on waiting for whatever is queued, which never ends where
    workers are gone. Here trials that still wait are then cancelled, and the results of those that run are no longer
    waited for; they reach the database all the same.
    """

    trials: MongoTrials

    def block_until_done(self) -> None:
        """Wait for new and running trials, unless the search was to end before."""
        while not self._is_over():
            if self.trials.count_by_state_unsynced([JOB_STATE_NEW, JOB_STATE_RUNNING]) == 0:
                break
            time.sleep(self.poll_interval_secs)
            self.trials.refresh()
        else:
            self.trials.cancel_new()
        self.trials.refresh()

    def _is_over(self) -> bool:
        if self.timeout is not None and default_timer() - self.start_time >= self.timeout:
            return True
        if self.loss_threshold is None:
            return False
        losses: list[Any] = [loss for loss in self.trials.losses() if loss is not None]
        return any(loss < self.loss_threshold for loss in losses)
