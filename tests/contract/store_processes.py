"""The stores that the contract is held against, and what other processes do to them in its tests.

Imported by spawned processes: light, and without pytest.
"""

import hashlib
import multiprocessing
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import mongo_server

from hpcho.errors import ClaimLost
from hpcho.jobdir import JobDir
from hpcho.store.mongo import connect
from hpcho.store.sqlite import SqliteStore
from hpcho.trial import Cause, Draft, Failure, Owner, Report, Result

SPAWN = multiprocessing.get_context("spawn")
PATIENCE_S = 120


def open_sqlite(folder):
    return SqliteStore(folder / "trials.db", JobDir(folder))


def open_mongo(folder):
    return connect(mongo_server.test_url(folder), exp_key="experiment", jobdir=JobDir(folder))


OPENERS = {"mongo": open_mongo, "sqlite": open_sqlite}
"""Every store: how one is opened, or made, for the job directory ``folder``."""


@dataclass(frozen=True)
class Place:
    """Where a store is; any process may open it."""

    kind: str
    folder: Path

    def open(self):
        return OPENERS[self.kind](self.folder)

    def remove(self):
        """What the folder does not hold."""
        if self.kind == "mongo":
            mongo_server.drop(self.folder)


def together(n, target, *arguments):
    """What ``target(*arguments, i)`` returns in n processes that begin at one moment."""
    barrier, answers = SPAWN.Barrier(n), SPAWN.Queue()
    processes = [SPAWN.Process(target=_answer, args=(barrier, answers, target, arguments, i)) for i in range(n)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=PATIENCE_S) for _ in processes]
    for process in processes:
        process.join(PATIENCE_S)
    answers.close()
    answers.join_thread()
    return [answer for _, answer in sorted(found, key=lambda pair: pair[0])]


def _answer(barrier, answers, target, arguments, i):
    barrier.wait(PATIENCE_S)
    answers.put((i, target(*arguments, i)))


def claim_all(place, i):
    """Claim and finish until nothing is left; the tids that were claimed."""
    store, owner, claimed = place.open(), Owner.here(), []
    while trial := store.claim(owner):
        claimed.append(trial.tid)
        store.finish(trial, Result(float(trial.tid)))
    store.close()
    return claimed


def take_seat(place, i):
    """Whether this process was the one that a compare-and-set let in."""
    store = place.open()
    won = store.put("seat", {"owner": i}, expected=None)
    store.close()
    return won


def count_up(place, times, i):
    """Add to a counter by compare-and-set."""
    store = place.open()
    for _ in range(times):
        while True:
            seen = store.get("counter")
            if store.put("counter", {"n": seen["n"] + 1}, expected=seen):
                break
    store.close()


def write_a_lot(place, seed, i):
    """Writes of every kind, for a reader that follows."""
    store, owner, chance = place.open(), Owner(f"host{i}", i + 1), random.Random(f"{seed} {i}")
    for _ in range(30):
        store.add([Draft({"x": [chance.random()]})] * chance.randint(0, 2))
        trial = store.claim(owner)
        if trial is None:
            continue
        store.heartbeat(trial, [Report(1, chance.random())] * chance.randint(0, 2))
        end = chance.choice(["finish", "fail", "retry", "release", "leave"])
        if end == "finish":
            store.finish(trial, Result(chance.random()))
        elif end in {"fail", "retry"}:
            store.fail(trial, Failure(Cause.OBJECTIVE, "it raised"), retry=end == "retry")
        elif end == "release":
            store.release(trial)
    store.close()


def finish_with_attachments(place, acknowledged):
    """Finish trials, two attachments each, until killed; tells each tid once its finish has returned."""
    store, owner, folder = place.open(), Owner.here(), place.folder / f"made-{os.getpid()}"
    folder.mkdir()
    while trial := store.claim(owner):
        files, digests = {}, {}
        for name in ("model.keras", "weights/ü"):
            data = random.Random(f"{os.getpid()} {trial.tid} {name}").randbytes(50_000)
            files[name] = folder / hashlib.sha256(name.encode()).hexdigest()
            files[name].write_bytes(data)
            digests[name] = hashlib.sha256(data).hexdigest()
        try:
            store.finish(trial, Result(0.5, data={"digests": digests}), files)
        except ClaimLost:
            continue
        os.write(acknowledged.fileno(), b"%d\n" % trial.tid)
        time.sleep(0)
    store.close()
