"""Trains scikit-learn's networks at every point of a grid and writes their learning curves to curves/.

A curve is the validation loss after each epoch. The curves are in the repository: this needs to run again only if the
grid or a task below changes (a quarter of an hour).
"""

from __future__ import annotations

import itertools
import json
import math
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

GRID: dict[str, list[Any]] = {
    "lr": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1],
    "alpha": [1e-5, 1e-3, 1e-1],
    "width": [8, 32, 128],
    "batch": [16, 64],
    "solver": ["sgd", "adam"],
}
"""Parameter -> its values. Numbers are ordered; words are not."""
EPOCHS = 27
ROWS = 500
"""So many rows of the data are trained on, and as many at most are for validation."""
TASKS = ("digits", "breast_cancer", "wine", "diabetes", "classification", "friedman")
HELD_OUT = ("hastie", "quantiles", "friedman3", "blobs")
"""These had no part in choosing the pruners' defaults, nor what auto makes of pruned trials."""
WORST = 10.0
"""A loss above it, or none, is written as this."""


def main() -> None:
    folder = Path(__file__).parent / "curves"
    folder.mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or TASKS + HELD_OUT:
        sets = data(name)
        table = {
            " ".join(map(str, indexes)): curve(sets, {key: GRID[key][i] for key, i in zip(GRID, indexes, strict=True)})
            for indexes in itertools.product(*[range(len(values)) for values in GRID.values()])
        }
        (folder / f"{name}.json").write_text(json.dumps(table).replace("], ", "],\n") + "\n")


def data(name: str) -> tuple[Any, ...]:
    """Whether it is a regression, then x and y for training and x and y for validation."""
    from sklearn import datasets
    from sklearn.preprocessing import scale

    if name == "classification":
        x, y = datasets.make_classification(1000, 20, n_informative=8, n_classes=4, flip_y=0.1, random_state=1)
    elif name == "friedman":
        x, y = datasets.make_friedman1(1000, noise=1.0, random_state=1)
    elif name == "friedman3":
        x, y = datasets.make_friedman3(1000, noise=0.1, random_state=1)
    elif name == "hastie":
        x, y = datasets.make_hastie_10_2(1000, random_state=1)
    elif name == "quantiles":
        x, y = datasets.make_gaussian_quantiles(n_samples=1000, n_features=6, n_classes=3, random_state=1)
    elif name == "blobs":
        x, y = datasets.make_blobs(1000, 8, centers=12, cluster_std=5.0, random_state=1)
    else:
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = list(range(len(y)))
    random.Random(1).shuffle(order)
    is_regression = name in ("diabetes", "friedman", "friedman3")
    x, y = np.nan_to_num(scale(x[order])), scale(y[order].astype(float)) if is_regression else y[order]
    rows = min(ROWS, len(y) * 2 // 3)
    return is_regression, x[:rows], y[:rows], x[rows : rows + ROWS], y[rows : rows + ROWS]


def curve(sets: tuple[Any, ...], v: dict[str, Any]) -> list[float]:
    """The validation's cross-entropy, or mean squared error, after each epoch."""
    from sklearn import neural_network
    from sklearn.metrics import log_loss, mean_squared_error

    is_regression, x, y, x_val, y_val = sets
    model = (neural_network.MLPRegressor if is_regression else neural_network.MLPClassifier)(
        hidden_layer_sizes=(v["width"],),
        learning_rate_init=v["lr"],
        alpha=v["alpha"],
        batch_size=v["batch"],
        solver=v["solver"],
        random_state=0,
    )
    losses: list[float] = []
    for _ in range(EPOCHS):
        try:
            model.partial_fit(x, y) if is_regression else model.partial_fit(x, y, classes=np.unique(y))
            loss = (
                mean_squared_error(y_val, model.predict(x_val))
                if is_regression
                else log_loss(y_val, model.predict_proba(x_val), labels=model.classes_)
            )
        except ValueError:  # it has diverged
            loss = math.inf
        losses.append(round(loss, 5) if loss < WORST else WORST)
    return losses


if __name__ == "__main__":
    main()
