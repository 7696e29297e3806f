"""The search space: declared parameters or templates, as hyperopt samples them and as a user sees them."""

from hpcho.space.build import build
from hpcho.space.matching import matched, matched_by_label
from hpcho.space.observed import observed
from hpcho.space.space import Parameter, Space

__all__ = ["Parameter", "Space", "build", "matched", "matched_by_label", "observed"]
