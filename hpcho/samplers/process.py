"""A Gaussian process over points of a search space, and what it says of a point's promise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.linalg.lapack import dtrtri
from scipy.optimize import minimize
from scipy.special import erfcx, ndtr

__all__ = ["Posterior", "Scales", "fit", "log_improvement", "standardised"]

ROOT5 = math.sqrt(5)
LENGTH, LENGTH_SPREAD = math.log(0.4), 1.0
"""The prior of a log length: its mean for one column, and its deviation."""
LENGTH_BOUNDS = (-4.0, 4.0)
NOISE, NOISE_SPREAD = math.log(1e-3), 2.0
"""The prior of the log noise."""
NOISE_BOUNDS = (math.log(1e-6), 0.0)
JITTER = 1e-8
ITERATIONS = 20
WORST, FAR = 3.0, -20.0
"""A loss's upper bound, and from where on better ones are compressed, in units of the distance from the median to the
tenth percentile."""


@dataclass(frozen=True)
class Scales:
    """Log lengths of the columns, and the log of the noise's variance as a share of the signal's."""

    lengths: np.ndarray
    noise: float

    @classmethod
    def prior(cls, columns: int) -> Scales:
        """Before any loss is known."""
        return cls(np.full(columns, LENGTH + 0.5 * math.log(max(columns, 1))), NOISE)


def fit(features: np.ndarray, losses: np.ndarray, column_of: np.ndarray) -> Scales:
    """The scales of the greatest posterior density. ``losses`` are standardised; ``column_of``: see Coordinates."""
    columns = int(column_of[-1]) + 1
    gaps = np.zeros((columns, len(losses), len(losses)))
    for feature, column in enumerate(column_of):
        gaps[column] += (features[:, None, feature] - features[None, :, feature]) ** 2
    flat = gaps.reshape(columns, -1)
    middle = Scales.prior(columns).lengths
    start = np.append(middle, NOISE)

    def cost(theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the log density, the signal's variance being at its best, and the gradient."""
        n = len(losses)
        inverse2, noise = np.exp(-2 * theta[:-1]), math.exp(theta[-1])
        root = ROOT5 * np.sqrt(inverse2 @ flat).reshape(n, n)
        decay = np.exp(-root)
        covariance = (1 + root + root * root / 3) * decay
        covariance[np.diag_indices(n)] = 1 + noise + JITTER
        lower = cholesky(covariance, lower=True, check_finite=False)
        inverse = cho_solve((lower, True), np.eye(n), check_finite=False)
        weights = inverse @ losses
        variance = max(float(losses @ weights) / n, 1e-12)
        slope = np.outer(weights, weights) / variance - inverse
        pull = (theta[:-1] - middle) / LENGTH_SPREAD**2
        pull_noise = (theta[-1] - NOISE) / NOISE_SPREAD**2
        value = 0.5 * n * math.log(variance) + float(np.log(np.diag(lower)).sum())
        value += 0.5 * float(pull @ (theta[:-1] - middle)) + 0.5 * pull_noise * (theta[-1] - NOISE)
        by_length = 0.5 * (5 / 3) * inverse2 * (flat @ (slope * (1 + root) * decay).ravel())
        by_noise = 0.5 * noise * float(np.trace(slope))
        return value, np.append(pull - by_length, pull_noise - by_noise)

    bounds = [LENGTH_BOUNDS] * columns + [NOISE_BOUNDS]
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": ITERATIONS}).x
    return Scales(found[:-1], float(found[-1]))


class Posterior:
    """What is known of the loss everywhere after some points; ``pending`` ones count as having the loss expected.

    ``doubt``: so many losses more, of deviation 1, count for the signal's variance. Without it there must be a point.
    """

    def __init__(
        self,
        scales: Scales,
        column_of: np.ndarray,
        features: np.ndarray,
        losses: np.ndarray,
        pending: np.ndarray,
        *,
        doubt: float = 0.0,
    ) -> None:
        self._factors = np.exp(-scales.lengths)[column_of]
        self._noise = math.exp(scales.noise) + JITTER
        self._points = features * self._factors
        self._weights, lower = self._solve(losses)
        self.variance = max((float(losses @ self._weights) + doubt) / (len(losses) + doubt), 1e-6)
        if len(pending):
            more = pending * self._factors
            expected = _kernel(more, self._points) @ self._weights
            self._points = np.concatenate([self._points, more])
            self._weights, lower = self._solve(np.append(losses, expected))
        # points are asked about several times, and a product is many times faster than a solution
        self._inverse = dtrtri(lower, lower=1)[0] if len(lower) else lower

    def __call__(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the loss, noise aside, at points."""
        if not len(self._points):
            return np.zeros(len(features)), np.full(len(features), math.sqrt(self.variance))
        across = _kernel(self._points, features * self._factors)
        half = self._inverse @ across
        left = np.maximum(1.0 - np.einsum("ij,ij->j", half, half), 1e-9)
        return self._weights @ across, np.sqrt(self.variance * left)

    def _solve(self, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not len(losses):
            return losses, np.empty((0, 0))
        covariance = _kernel(self._points, self._points)
        covariance[np.diag_indices(len(covariance))] = 1 + self._noise
        lower = cholesky(covariance, lower=True, check_finite=False)
        return cho_solve((lower, True), losses, check_finite=False), lower


def standardised(losses: np.ndarray) -> np.ndarray:
    """Finite losses on a scale with mean 0 and deviation 1, on which those above the median are compressed.

    What matters is how the good ones differ: a few huge losses must not make them all look the same.
    """
    if not len(losses):
        return losses
    losses = losses / max(float(np.abs(losses).max()), 1e-300)
    tenth, middle = _quantiles(losses, (0.1, 0.5))
    better = middle - losses[losses < middle]
    # Where most losses are the same, the few better ones are all that tells.
    unit = float(middle - tenth) if middle > tenth or not len(better) else float(np.median(better))
    scaled = (losses - middle) / max(unit, 1e-12)
    scaled = np.where(scaled > 0, np.minimum(np.log1p(np.maximum(scaled, 0.0)), WORST), scaled)
    scaled = np.where(scaled < FAR, FAR * (1 + np.log(np.minimum(scaled, FAR) / FAR)), scaled)
    return np.asarray((scaled - scaled.mean()) / max(float(scaled.std()), 1e-9))


def _quantiles(values: np.ndarray, shares: tuple[float, ...]) -> list[float]:
    """As ``np.quantile`` has them, in a tenth of the time."""
    ordered = np.sort(values)
    places = [share * (len(values) - 1) for share in shares]
    least = [int(place) for place in places]
    return [
        float(ordered[at] + (place - at) * (ordered[min(at + 1, len(values) - 1)] - ordered[at]))
        for at, place in zip(least, places, strict=True)
    ]


def log_improvement(least: float, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """The logarithm of the expected improvement on ``least``, also where that is too small for a float."""
    z = np.maximum((least - mean) / deviation, -1e3)
    near = np.maximum(z, -1.0)
    found = np.log(np.exp(-0.5 * near**2) / math.sqrt(2 * math.pi) + near * ndtr(near))
    far = np.minimum(z, -1.0)
    # 1 + z Phi(z) / phi(z), which goes to 1 / z^2 and is lost in rounding far out
    ratio = np.maximum(1 + far * math.sqrt(math.pi / 2) * erfcx(-far / math.sqrt(2)), 0.5 / (far * far + 3))
    tail = -0.5 * far * far - 0.5 * math.log(2 * math.pi) + np.log(ratio)
    return np.asarray(np.where(z > -1, found, tail) + np.log(deviation))


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matern's with smoothness 5/2 between scaled points."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * (a @ b.T)
    root = np.sqrt(np.maximum(squares, 0.0, out=squares), out=squares)
    root *= ROOT5
    found = root * root
    found *= 1 / 3
    found += root
    found += 1
    found *= np.exp(np.negative(root, out=root), out=root)
    return np.asarray(found)
