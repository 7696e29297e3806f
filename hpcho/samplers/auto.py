"""hpcho's own sampler."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcho.samplers.coordinates import Coordinates
from hpcho.samplers.history import next_tid, seed_for
from hpcho.samplers.memory import Kind, Memory
from hpcho.samplers.process import Posterior, Scales, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.space import Space
    from hpcho.trial import Trial, Vals

__all__ = ["AutoSampler"]

K = dict(tr="mix", acq="ei", start=0, glob=100, loc=200, data=128, fitmax=96, grow=1.15)
K.update({k: (type(K[k])(v)) for k, v in (kv.split("=") for kv in os.environ.get("K", "").split(",") if kv)})


class AutoSampler:
    name = "auto"
    uses_history = True
    max_workers: int | None = None

    def __init__(self, space: Space) -> None:
        self._space = space
        self._fitted: tuple[bytes, Scales] | None = None

    @cached_property
    def _at(self):
        return Coordinates(self._space)

    @cached_property
    def _memory(self):
        return Memory(self._at)

    def suggest(self, trials: Sequence[Trial], n: int, seed: int) -> list[Vals]:
        memory = self._memory
        memory.update(trials)
        first = next_tid(trials)
        at = self._at
        done = np.flatnonzero(memory.kinds == Kind.LOSS)
        bad = np.flatnonzero(memory.kinds == Kind.BAD)
        pending = memory.rows[memory.kinds == Kind.PENDING]
        start = K["start"] or max(4, min(at.size, 8))
        out = []
        for tid in range(first, first + n):
            rng = np.random.default_rng(seed_for(seed, tid))
            if len(done) < start:
                row = at.settled(at.drawn(halton(tid, at.size, seed)[None]))[0]
            else:
                row = self._modelled(rng, memory, done, bad, pending)
            pending = np.concatenate([pending, row[None]])
            out.append(at.vals(row))
        return out

    def _modelled(self, rng, memory, done, bad, pending):
        at = self._at
        losses = memory.losses[done]
        order = done[np.argsort(losses, kind="stable")]
        if len(order) > K["data"]:
            best = order[: K["data"] // 2]
            rest = np.setdiff1d(done, best)[-(K["data"] - len(best)) :]
            chosen = np.concatenate([best, rest])
        else:
            chosen = order
        bads = bad[-32:]
        rows = np.concatenate([memory.rows[chosen], memory.rows[bads]])
        z = transform(memory.losses[chosen])
        z = np.append(z, np.full(len(bads), z.max()))
        features = at.features(rows)
        scales = self._scales(memory, done)
        post = Posterior(scales, at.column_of, features, z, at.features(pending[-128:]))
        taken = {row.tobytes() for row in np.nan_to_num(np.concatenate([memory.rows[memory.kinds != 0], pending]), nan=-1.0)}
        elites = rows[: 5]
        return self._best(rng, post, elites, taken, z)

    def _best(self, rng, post, elites, taken, z):
        at = self._at
        best = z.min() if K["acq"] != "eim" else post(at.features(elites))[0].min()
        kappa = rng.exponential(1.0) if K["acq"] == "lcb" else 0

        def score(rows):
            m, s = post(at.features(rows))
            if K["acq"] == "lcb":
                return -(m - kappa * s)
            return logei((best - m) / s) + np.log(s)

        pool = at.settled(np.concatenate([
            at.drawn(rng.random((K["glob"], at.size))),
            around(rng, at, elites, K["loc"], 0.005, 0.3),
        ]))
        values = score(pool)
        for scale in (0.1, 0.03, 0.01):
            top = pool[np.argsort(-values)[:4]]
            more = at.settled(around(rng, at, top, 64, scale / 5, scale))
            pool = np.concatenate([pool, more])
            values = np.concatenate([values, score(more)])
        keys = np.nan_to_num(pool, nan=-1.0)
        for i in np.argsort(-values):
            if keys[i].tobytes() not in taken:
                return pool[i]
        return pool[0]

    def _scales(self, memory, done):
        m = len(done)
        size = start = 4
        while size <= m:
            start = size
            size = max(size + 1, int(size * K["grow"]))
        order = done[np.argsort(memory.ends[done], kind="stable")][:start]
        if len(order) > K["fitmax"]:
            l = memory.losses[order]
            best = order[np.argsort(l, kind="stable")[: K["fitmax"] // 2]]
            rest = np.setdiff1d(order, best)[-(K["fitmax"] - len(best)) :]
            order = np.concatenate([best, rest])
        rows, z = memory.rows[order], transform(memory.losses[order])
        key = rows.tobytes() + z.tobytes()
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = key, fit(self._at.features(rows), z, self._at.column_of)
        return self._fitted[1]


from scipy.special import log_ndtr, ndtr, ndtri, erfcx


def logei(u):
    # log(phi(u) + u Phi(u))
    u = np.maximum(u, -1e4)
    out = np.empty_like(u)
    a = u > -1
    out[a] = np.log(np.exp(-0.5 * u[a] ** 2) / np.sqrt(2 * np.pi) + u[a] * ndtr(u[a]))
    v = u[~a]
    out[~a] = -0.5 * v * v - 0.5 * np.log(2 * np.pi) + np.log(np.maximum(1 + v * np.sqrt(np.pi / 2) * erfcx(-v / np.sqrt(2)), 1 / (v * v + 3)* 0.5))
    return out


def around(rng, at, centres, count, low, high):
    base = centres[rng.integers(len(centres), size=count)]
    prior = at.drawn(rng.random((count, at.size)))
    active = ~np.isnan(base)
    move = rng.random((count, at.size)) < np.maximum(rng.choice([0.0, 0.3, 1.0], size=(count, 1)), 1.5 / at.size)
    sigma = np.exp(rng.uniform(np.log(low), np.log(high), (count, 1)))
    sigma = np.maximum(sigma, at.grains * 0.8)
    x = base + sigma * rng.normal(size=base.shape)
    x = np.abs(x)
    x = np.where(x > 1, 2 - x, x)
    x = np.clip(x, 0, 1)
    moved = np.where(at.numbers, x, np.where(rng.random(base.shape) < 0.5, prior, base))
    out = np.where(move, moved, base)
    return np.where(active, out, prior)


def transform(y):
    mode = K["tr"]
    n = len(y)
    ranks = np.argsort(np.argsort(y, kind="stable"), kind="stable")
    gauss = ndtri((ranks + 0.5) / n)
    if mode == "rank":
        z = gauss
    else:
        y = y / max(np.abs(y).max(), 1e-300)
        mid = np.median(y)
        scale = max(mid - np.quantile(y, 0.1), 1e-12 * max(abs(mid),1e-300), 1e-300)
        z = (y - mid) / scale
        z = np.where(z > 0, np.log1p(np.maximum(z, 0)), z)
        z = np.clip(z, -20, 3)
        if mode == "mix":
            z = (z / max(z.std(), 1e-9) + gauss) / 2
        elif mode == "log":
            z = y - y.min()
            z = np.log(z + max(np.quantile(z, 0.5) * 0.02, 1e-300))
    return (z - z.mean()) / max(z.std(), 1e-9)


PRIMES = [2,3,5,7,11,13,17,19,23,29,31,37,41,43,47,53,59,61,67,71,73,79,83,89,97,101,103,107,109,113]


def halton(index, size, seed):
    rng = np.random.default_rng([seed, 0x5eed])
    out = np.empty(size)
    for j in range(size):
        base = PRIMES[j % len(PRIMES)]
        shift = rng.random()
        perms = np.array([rng.permutation(base) for _ in range(max(2, int(np.ceil(14 / np.log2(base)))))])
        f, v, i = 1.0, 0.0, index
        for p in perms:
            f /= base
            v += f * p[i % base]
            i //= base
        out[j] = v + f * shift
    return np.minimum(out, 1 - 1e-12)
