"""What other experiments let one expect of a point here: the losses that they found around it, without their scale."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hpcho.samplers.process import Posterior, Scales, fit, standardised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.samplers.coordinates import Coordinates
    from hpcho.samplers.knowledge import Knowledge
    from hpcho.trial import Vals

__all__ = ["Elsewhere"]

MODELLED = 100
"""So many points of a source are taken into account: half of them the best, the others spread over the rest."""
FITTED = 4
"""Points without which a source's scales are not fitted."""
SHOWN = 3
"""The best points of a source that a search looks around."""
CAUTION = 1.0
"""How many deviations worse a point is expected to be: where a source has not looked it promises nothing."""
TRUST = 1.0
"""How much is to be seen here before it outweighs that another experiment's losses are like this one's."""


class Elsewhere:
    """A model of each source, and of how far it holds here."""

    def __init__(self, knowledge: Sequence[Knowledge], at: Coordinates) -> None:
        self._at = at
        self._sources = [source.points for source in knowledge if source.points]
        self.count = sum(map(len, self._sources))
        """How many trials there are in all."""

    @cached_property
    def best(self) -> np.ndarray:
        """The rows of each source's best points."""
        return np.concatenate([np.empty((0, self._at.size)), *[rows[:SHOWN] for _, rows, _ in self._models]])

    @property
    def scales(self) -> Scales:
        """Those of the source with the most points."""
        return max(self._models, key=lambda model: len(model[1]))[2]

    def expected(self, features: np.ndarray) -> np.ndarray:
        """Standardised losses at points, one column for each source."""
        found = [posterior(features) for posterior, _, _ in self._models]
        return np.column_stack([mean + CAUTION * deviation for mean, deviation in found])

    def weights(self, expected: np.ndarray, losses: np.ndarray) -> tuple[float, np.ndarray]:
        """How to add the columns of ``expected`` up to come near ``losses``: a constant, and a factor for each.

        Without losses each source counts alike. One whose losses are of no use here ends with a factor near 0.
        """
        factors = np.full(len(self._sources), 1 / len(self._sources))
        if not len(losses):
            return 0.0, factors
        centred = expected - expected.mean(axis=0)
        missed = losses - losses.mean() - centred @ factors
        factors += np.linalg.solve(centred.T @ centred + TRUST * np.eye(len(factors)), centred.T @ missed)
        factors = np.maximum(factors, 0.0)
        return float((losses - expected @ factors).mean()), factors

    @cached_property
    def _models(self) -> list[tuple[Posterior, np.ndarray, Scales]]:
        """Of each source the model, the rows in it by loss, and its scales."""
        return [self._model(points) for points in self._sources]

    def _model(self, points: Sequence[tuple[Vals, float]]) -> tuple[Posterior, np.ndarray, Scales]:
        losses = np.array([loss for _, loss in points])
        order = np.argsort(losses, kind="stable")
        if len(order) > MODELLED:
            rest = np.linspace(MODELLED // 2, len(order) - 1, MODELLED - MODELLED // 2).astype(int)
            order = np.concatenate([order[: MODELLED // 2], order[rest]])
        rows = np.array([self._at.row(points[index][0]) for index in order])
        features, scaled = self._at.features(rows), standardised(losses[order])
        scales = fit(features, scaled, self._at.column_of) if len(order) >= FITTED else Scales.prior(self._at.size)
        return Posterior(scales, self._at.column_of, features, scaled, features[:0]), rows, scales
