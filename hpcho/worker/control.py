"""What the run's records tell a worker: whether all are asked to stop, and whether the run is over."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from hpcho.errors import StoreError

if TYPE_CHECKING:
    from hpcho.store import TrialStore

__all__ = ["Control"]

log = logging.getLogger(__name__)

FRESH_S = 0.05
"""So old may be what is known of the record: reading it for each of a thousand trials a second is no use."""


class Control:
    """What the ``control`` record said when it was last looked at."""

    def __init__(self, store: TrialStore) -> None:
        self._store = store
        self._looked_at = -math.inf
        self._stop: str | None = None

    @property
    def is_release(self) -> bool:
        """``now``: give the running trial back and leave."""
        return self._stop == "now"

    @property
    def is_stop(self) -> bool:
        """``drain`` or ``now``: take no further trial."""
        return self._stop is not None

    def is_over(self) -> bool:
        """Whether the run has ended: then nothing will come for a worker that finds nothing to do."""
        try:
            return self._store.get("end") is not None
        except StoreError:
            return False

    def look(self) -> None:
        """Read the record, if it was not read just now. A store that is away says nothing."""
        now = time.monotonic()
        if now - self._looked_at < FRESH_S:
            return
        self._looked_at = now
        try:
            record = self._store.get("control")
        except StoreError as error:
            log.warning("cannot read whether the run is to stop: %s", error)
        else:
            self._stop = (record or {}).get("stop")
