"""What pruners save: searches over real learning curves, with each pruner and with none.

    python benchmarks/search/pruning.py [--pruners asha,median,hyperband] [--sampler auto] [--workers 8] [--trials 100]
                                        [--more 1.3] [--seeds 20] [--tasks digits,wine] [--json]

The curves are those of curves/ (train_curves.py). Workers are simulated as in run.py, epoch by epoch; what decides is
hpcho's own code: the controller's cutoffs, the workers' judgement, promotions, and the sampler's view of pruned trials.
Searches with a pruner have ``--more`` times as many trials: pruned ones count, too, and cost a part of the epochs.
``half`` is a search without a pruner that has half of the trials.
For each task: the median over the seeds of the best whole trial's loss as regret (0: the best point there is, 1: the
median point), without a pruner and with each, and the epochs that were trained as a share of those without.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import statistics
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from simulate import SPREAD
from tasks import index_of
from train_curves import EPOCHS, GRID, HELD_OUT, TASKS

from hpcho import samplers
from hpcho import space as spaces
from hpcho.experiment.schema import PrunerSpec, SamplerSpec
from hpcho.pruners import Judge, Peers, rule_of
from hpcho.trial import Report, Result, Trial, TrialState, rank

SPACE = {key: index_of(values) for key, values in GRID.items()}


@cache
def curves(task: str) -> dict[str, list[float]]:
    """By point of the grid: the loss after each epoch."""
    found: dict[str, list[float]] = json.loads((Path(__file__).parent / "curves" / f"{task}.json").read_text())
    return found


class Search:
    """One search; ``run`` gives the loss of the best trial and the epochs that were trained."""

    def __init__(self, task: str, pruner: dict[str, Any], sampler: str, seed: int) -> None:
        self._curves = curves(task)
        self._space = spaces.build(SPACE)
        self._sampler = samplers.build(SamplerSpec.model_validate(sampler), self._space)
        self._rule = rule_of(PrunerSpec.model_validate(pruner))
        self._peers = None if self._rule is None else Peers(self._rule)
        self._seed = seed
        self._random = random.Random(seed)
        self._trials: list[Trial] = []
        self._judges: dict[int, Judge] = {}
        self._clock = itertools.count(1).__next__

    def run(self, workers: int, trials: int) -> tuple[float, int, int]:
        """Also how many trials were promoted."""
        running: list[tuple[float, int, float]] = []
        now, epochs = 0.0, 0
        while running or len(self._trials) < trials:
            while len(running) < workers and len(self._trials) < trials:
                pace = self._random.lognormvariate(0, SPREAD)
                heapq.heappush(running, (now + pace, self._begin(), pace))
            now, tid, pace = heapq.heappop(running)
            epochs += 1
            if not self._epoch(tid):
                heapq.heappush(running, (now + pace, tid, pace))
        best = min(self._trials, key=rank)
        assert best.loss is not None
        return best.loss, epochs, sum(trial.parent is not None for trial in self._trials)

    def _begin(self) -> int:
        tid = len(self._trials)
        paused = next(self._peers.promotable(), None) if self._peers is not None else None
        if paused is not None:
            new = Trial(tid=tid, state=TrialState.RUNNING, version=1, vals=paused.vals, parent=paused.tid)
            new = replace(new, reports=paused.reports)
        else:
            (vals,) = self._sampler.suggest(self._trials, 1, self._seed)
            new = Trial(tid=tid, state=TrialState.RUNNING, version=1, vals=vals)
        self._trials.append(new)
        if self._rule is not None and self._peers is not None:
            self._judges[tid] = Judge(self._rule, new)
            self._peers.learn([new])
        return tid

    def _epoch(self, tid: int) -> bool:
        """Train one more epoch; whether that was the last."""
        trial = self._trials[tid]
        step = len(trial.reports) + 1
        params = self._space.decode(trial.vals)
        loss = self._curves[" ".join(str(params[key]) for key in GRID)][step - 1]
        trial = replace(trial, reports=(*trial.reports, Report(step, loss)))
        is_pruned = False
        if self._peers is not None and step < EPOCHS:
            judge = self._judges[tid]
            judge.hear(trial.reports[-1])
            if judge.is_open:
                self._peers.learn([trial])
                is_pruned = judge.gives_up(self._peers.record())
        if is_pruned or step == EPOCHS:
            result = Result(loss, pruned=is_pruned)
            trial = replace(trial, state=TrialState.DONE, version=2, result=result, finished_at=self._clock())
            if self._peers is not None:
                self._peers.learn([trial])
        self._trials[tid] = trial
        return trial.state is TrialState.DONE


def compare(task: str, pruners: list[str], args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """By pruner: median regret, median loss, epochs in the mean, promotions in the mean."""
    finals = [curve[-1] for curve in curves(task).values()]
    least, middle = min(finals), statistics.median(finals)
    found = {}
    for name in pruners:
        trials = args.trials if name == "none" else args.trials // 2 if name == "half" else int(args.trials * args.more)
        spec = json.loads(name) if name.startswith("{") else {"name": "none" if name == "half" else name}
        if spec["name"] == "hyperband":
            spec.setdefault("max_steps", EPOCHS)
        runs = [Search(task, spec, args.sampler, seed).run(args.workers, trials) for seed in range(args.seeds)]
        loss = statistics.median(run[0] for run in runs)
        found[name] = {
            "regret": (loss - least) / (middle - least),
            "mean_regret": statistics.fmean((run[0] - least) / (middle - least) for run in runs),
            "loss": loss,
            "epochs": statistics.fmean(run[1] for run in runs),
            "promoted": statistics.fmean(run[2] for run in runs),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pruners", default="asha,hyperband,median", help="names; or one pruner as JSON")
    parser.add_argument("--sampler", default="auto")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--more", type=float, default=1.3)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tasks", default=",".join(TASKS + HELD_OUT))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    given = [args.pruners] if args.pruners.startswith("{") else args.pruners.split(",")
    pruners = ["none", "half", *given]
    found = {task: compare(task, pruners, args) for task in args.tasks.split(",")}
    if args.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{'task':<16}{'pruner':<12}{'loss':>10}{'regret':>9}{'mean':>9}{'epochs':>9}{'share':>7}{'promoted':>10}")
    for task, by_pruner in found.items():
        for name, one in by_pruner.items():
            share = one["epochs"] / by_pruner["none"]["epochs"]
            print(
                f"{task:<16}{name[:11]:<12}{one['loss']:>10.5f}{one['regret']:>9.4f}{one['mean_regret']:>9.4f}"
                f"{one['epochs']:>9.0f}{share:>7.2f}{one['promoted']:>10.1f}"
            )
    for words, names in (("tuned on", TASKS), ("held out", HELD_OUT)):
        ours = [by_pruner for task, by_pruner in found.items() if task in names]
        for name in pruners if ours else ():
            regret, mean_regret = (
                statistics.fmean(one[name][key] for one in ours) for key in ("regret", "mean_regret")
            )
            share = statistics.fmean(one[name]["epochs"] / one["none"]["epochs"] for one in ours)
            print(f"{words:<16}{name[:11]:<12}{'':>10}{regret:>9.4f}{mean_regret:>9.4f}{'':>9}{share:>7.2f}")


if __name__ == "__main__":
    main()
