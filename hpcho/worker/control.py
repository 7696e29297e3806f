"""What the run's ``control`` record tells a worker: whether all are asked to stop, and whether the run is over."""

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


class Control:
    """What the record said when it was last looked at."""

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
        return self._stop in ("drain", "now")

    @property
    def is_over(self) -> bool:
        """``over``: the run has ended; nothing will come for a worker that finds nothing to do."""
        return self._stop == "over"

    @property
    def is_ending(self) -> bool:
        """Any of them: a worker that is told to go now goes because the run wants it."""
        return self._stop is not None

    def look(self, max_age_s: float = 0.0) -> None:
        """Read the record, unless it was read less than ``max_age_s`` ago. A store that is away says nothing."""
        now = time.monotonic()
        if now - self._looked_at < max_age_s:
            return
        self._looked_at = now
        try:
            record = self._store.get("control")
        except StoreError as error:
            log.warning("cannot read whether the run is to stop: %s", error)
        else:
            self._stop = (record or {}).get("stop")
