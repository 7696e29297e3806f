"""The contract when many processes use a store at once, and when they are killed."""

import contextlib
import hashlib
import os
import random
import signal
import threading

import pytest
from store_processes import (
    PATIENCE_S,
    SPAWN,
    claim_all,
    count_up,
    finish_with_attachments,
    take_seat,
    together,
    write_a_lot,
)

from hpcho.errors import ClaimLost
from hpcho.trial import Draft, TrialState

pytestmark = pytest.mark.slow


def test_sixteen_processes_claim_each_trial_once(store, place):
    tids = [trial.tid for trial in store.add([Draft({"x": [float(i)]}) for i in range(320)])]
    claims = together(16, claim_all, place)
    assert sorted(tid for claimed in claims for tid in claimed) == tids
    trials = store.changes()[1]
    assert all(trial.state is TrialState.DONE and trial.loss == trial.tid for trial in trials)
    assert all(len(trial.attempts) == 1 for trial in trials)


def test_one_of_eight_takes_the_seat(store, place):
    won = together(8, take_seat, place)
    assert sum(won) == 1
    assert store.get("seat") == {"owner": won.index(True)}


def test_no_update_of_a_record_is_lost(store, place):
    store.put("counter", {"n": 0})
    together(8, count_up, place, 20)
    assert store.get("counter") == {"n": 160}


def test_a_reader_that_follows_misses_nothing(store, place):
    writers = threading.Thread(target=together, args=(4, write_a_lot, place, 7))
    writers.start()
    cursor, seen, rounds = None, {}, 0
    while writers.is_alive() or rounds == 0:
        cursor, changed = store.changes(cursor)
        assert [trial.tid for trial in changed] == sorted(trial.tid for trial in changed)
        for trial in changed:
            before = seen.get(trial.tid)
            assert before is None or trial.version >= before.version
            seen[trial.tid] = trial
        rounds += bool(changed)
    writers.join()
    _, changed = store.changes(cursor)
    seen.update({trial.tid: trial for trial in changed})
    assert [seen[tid] for tid in sorted(seen)] == store.changes()[1]
    assert len(seen) > 30


def test_killed_in_the_middle_of_a_finish(store, place):
    """Whenever the kill comes, a trial is unfinished or whole, and what was acknowledged is done."""
    chance, acknowledged = random.Random(1), set()
    for _ in range(31):  # each acknowledges one at least
        store.add([Draft({"x": [1.0]})] * 40)
        acknowledged |= finish_until_killed(place, chance.uniform(0.0, 0.06))
        trials = {trial.tid: trial for trial in store.changes()[1]}
        assert all(trials[tid].state is TrialState.DONE for tid in acknowledged)
        for trial in trials.values():
            if trial.state is TrialState.DONE:
                check_whole(store, trial)
            elif trial.state is TrialState.RUNNING:
                # What the killed process has sent, a server may be writing still.
                with contextlib.suppress(ClaimLost):
                    store.move(trial, TrialState.NEW)
    assert len(acknowledged) > 30


def finish_until_killed(place, after_s):
    """The tids acknowledged by a process that is killed ``after_s`` after its first one."""
    reader, writer = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=finish_with_attachments, args=(place, writer))
    process.start()
    writer.close()
    told = os.read(reader.fileno(), 1)
    assert told, "the process ended before its first finish"
    process.join(after_s)
    os.kill(process.pid, signal.SIGKILL)
    process.join(PATIENCE_S)
    assert process.exitcode in {0, -signal.SIGKILL}
    while more := os.read(reader.fileno(), 65536):
        told += more
    reader.close()
    return {int(line) for line in told.split(b"\n")[:-1]}


def check_whole(store, trial):
    digests = trial.result.data["digests"]
    assert trial.result.attachments == tuple(digests)
    for name, digest in digests.items():
        assert hashlib.sha256(store.attachment(trial.tid, name).read_bytes()).hexdigest() == digest
