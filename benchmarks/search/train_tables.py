"""Trains scikit-learn's models at every point of a small conditional space and writes their losses to tables/.

The tables are in the repository: this needs to run again only if a space or a model below changes (minutes).
"""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path
from typing import Any

GRIDS: dict[str, dict[str, list[Any]]] = {
    "svm": {"c": [0.01, 0.1, 1, 10, 100, 1000], "gamma": [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1], "kernel": ["rbf", "poly"]},
    "trees": {
        "features": [0.05, 0.1, 0.2, 0.4, 0.7, 1.0],
        "leaf": [1, 2, 4, 8, 16, 32],
        "trees": [5, 15, 45],
        "kind": ["forest", "extra"],
    },
    "mlp": {"lr": [1e-4, 1e-3, 1e-2, 1e-1], "alpha": [1e-5, 1e-3, 1e-1, 10], "width": [4, 16, 64], "depth": [1, 2]},
    "neighbours": {"k": [1, 2, 3, 5, 8, 13, 21, 34], "p": [1, 2], "weights": ["uniform", "distance"]},
}
"""Model -> parameter -> its values. Numbers are ordered; words are not."""

DATA = ("digits", "diabetes", "breast_cancer")


def main() -> None:
    for name in DATA:
        table = {
            " ".join([model, *map(str, indexes)]): round(loss_of(name, model, indexes), 6)
            for model, grid in GRIDS.items()
            for indexes in itertools.product(*[range(len(values)) for values in grid.values()])
        }
        path = Path(__file__).parent / "tables" / f"{name}.json"
        path.write_text(json.dumps(table, indent=0) + "\n")


def loss_of(name: str, model: str, indexes: tuple[int, ...]) -> float:
    """Cross-validated error rate, or 1 - R^2 cut at 2, of the model at a point of its grid."""
    from sklearn import datasets
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x, y = (x[:600], y[:600]) if name == "digits" else (x, y)
    values = {key: options[i] for i, (key, options) in zip(indexes, GRIDS[model].items(), strict=True)}
    if name == "diabetes":
        y = (y - y.mean()) / y.std()
    estimator = make_pipeline(StandardScaler(), build(model, values, is_regression=name == "diabetes"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return min(1 - float(cross_val_score(estimator, x, y, cv=3, error_score=0.0).mean()), 2.0)


def build(model: str, v: dict[str, Any], *, is_regression: bool) -> Any:
    from sklearn import ensemble, neighbors, neural_network, svm

    end = "Regressor" if is_regression else "Classifier"
    if model == "svm":
        return (svm.SVR if is_regression else svm.SVC)(C=v["c"], gamma=v["gamma"], kernel=v["kernel"], max_iter=20_000)
    if model == "trees":
        kind = {"forest": "RandomForest", "extra": "ExtraTrees"}[v["kind"]]
        return getattr(ensemble, kind + end)(
            n_estimators=v["trees"], max_features=v["features"], min_samples_leaf=v["leaf"], random_state=0
        )
    if model == "mlp":
        sizes = (v["width"],) * v["depth"]
        return getattr(neural_network, "MLP" + end)(
            hidden_layer_sizes=sizes, learning_rate_init=v["lr"], alpha=v["alpha"], max_iter=40, random_state=0
        )
    return getattr(neighbors, "KNeighbors" + end)(n_neighbors=v["k"], p=v["p"], weights=v["weights"])


if __name__ == "__main__":
    main()
