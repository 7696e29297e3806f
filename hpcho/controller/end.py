"""Why a run is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["End"]


@dataclass(frozen=True)
class End:
    """Why a run is over. ``reason``: trials, hours, loss, failures, objective, stopped, interrupted."""

    reason: str
    message: str
    usable: bool = True
    """Whether there is a successful trial to show."""

    def to_json(self) -> dict[str, Any]:
        """The record that the store keeps under "end"."""
        return {"reason": self.reason, "message": self.message, "usable": self.usable}
