"""What a controller tells of its run beside the trials: records in the store, for whoever looks on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcho.store import TrialStore

__all__ = ["Board"]


class Board:
    """Puts records into the store, each as often as it changes."""

    def __init__(self, store: TrialStore) -> None:
        self._store = store
        self._told: dict[str, Any] = {}

    def tell(self, key: str, value: Any) -> None:
        """Have the record say this; the first time in any case. Raises StoreError, and then tries again next time."""
        if key not in self._told or self._told[key] != value:
            self._store.put(key, value)
            self._told[key] = value
