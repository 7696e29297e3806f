"""A Gaussian process over points of a search space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

__all__ = ["Posterior", "Scales", "fit"]

ROOT5 = math.sqrt(5)
LENGTH_SPREAD = 1.0
NOISE, NOISE_SPREAD = math.log(1e-3), 2.0
NOISE_BOUNDS = (math.log(1e-6), math.log(1.0))
ITERATIONS = 20


@dataclass(frozen=True)
class Scales:
    """Log lengths of the columns, and the log of the noise's variance as a share of the signal's."""

    lengths: np.ndarray
    noise: float


def fit(features: np.ndarray, losses: np.ndarray, column_of: np.ndarray) -> Scales:
    """The scales of the greatest posterior density. ``losses`` are standardised; ``column_of``: see Coordinates."""
    columns = int(column_of[-1]) + 1
    gaps = np.zeros((columns, len(losses), len(losses)))
    for feature, column in enumerate(column_of):
        gaps[column] += (features[:, None, feature] - features[None, :, feature]) ** 2
    flat = gaps.reshape(columns, -1)
    middle = math.log(0.4) + 0.5 * math.log(columns)
    start = np.append(np.full(columns, middle), NOISE)

    def cost(theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the log density, the signal's variance being at its best, and the gradient."""
        n = len(losses)
        inverse2, noise = np.exp(-2 * theta[:-1]), math.exp(theta[-1])
        root = ROOT5 * np.sqrt(inverse2 @ flat).reshape(n, n)
        decay = np.exp(-root)
        covariance = (1 + root + root * root / 3) * decay
        covariance[np.diag_indices(n)] = 1 + noise + 1e-8
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

    bounds = [(-4.0, 4.0)] * columns + [NOISE_BOUNDS]
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": ITERATIONS}).x
    return Scales(found[:-1], float(found[-1]))


class Posterior:
    """What is known of the loss everywhere after some points; ``pending`` ones count as having the loss expected."""

    def __init__(
        self, scales: Scales, column_of: np.ndarray, features: np.ndarray, losses: np.ndarray, pending: np.ndarray
    ) -> None:
        self._factors = np.exp(-scales.lengths)[column_of]
        self._noise = math.exp(scales.noise) + 1e-8
        self._points = features * self._factors
        weights, _ = self._solve(losses)
        self.variance = max(float(losses @ weights) / len(losses), 1e-6)
        if len(pending):
            more = pending * self._factors
            expected = _kernel(more, self._points) @ weights
            self._points = np.concatenate([self._points, more])
            losses = np.append(losses, expected)
        self._weights, self._lower = self._solve(losses)

    def __call__(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the loss, noise aside, at points."""
        across = _kernel(self._points, features * self._factors)
        half = solve_triangular(self._lower, across, lower=True, check_finite=False)
        left = np.maximum(1.0 - (half * half).sum(axis=0), 1e-9)
        return self._weights @ across, np.sqrt(self.variance * left)

    def _solve(self, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        covariance = _kernel(self._points, self._points)
        covariance[np.diag_indices(len(covariance))] = 1 + self._noise
        lower = cholesky(covariance, lower=True, check_finite=False)
        return cho_solve((lower, True), losses, check_finite=False), lower


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matern's with smoothness 5/2 between scaled points."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * (a @ b.T)
    root = ROOT5 * np.sqrt(np.maximum(squares, 0.0))
    return np.asarray((1 + root + root * root / 3) * np.exp(-root))
