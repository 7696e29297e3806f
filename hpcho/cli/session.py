"""One process's turn at an experiment: controlling it, or looking on while another process does."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcho import controller as control
from hpcho import samplers
from hpcho import standing as standings
from hpcho.cli import chain as chains
from hpcho.cli import launching
from hpcho.cli.knowledge import words as knowledge_words
from hpcho.cli.output import last_words, say, seconds
from hpcho.cli.progress import Talk, best_numbers, best_words, counted, goal_words, open_progress, trial_words
from hpcho.errors import Interrupted, ResumeError, StoreError, StoreFull, StoreLost
from hpcho.inside import Echo
from hpcho.opening.chain import elsewhere
from hpcho.trial import Owner, TrialState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcho.cli.progress import Progress
    from hpcho.cli.typed import Typed
    from hpcho.jobdir import JobDir
    from hpcho.opening import Opened
    from hpcho.store import Service, TrialStore
    from hpcho.trial import Trial

__all__ = ["Session", "look_on"]

SHOW_EVERY_S = 0.25
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.1
BETWEEN_S = 2.0
"""How often to look whether a run without a controller is to have one."""
LOG_BYTES = 10_000_000
ENDED = frozenset({TrialState.DONE, TrialState.ERROR})


class Session:
    """One process's turn at controlling an experiment."""

    def __init__(
        self,
        typed: Typed,
        opened: Opened,
        record: dict[str, Any],
        store: TrialStore,
        seat: control.Seat,
        service: Service,
        talk: Talk,
    ) -> None:
        self._typed, self._opened, self._store, self._seat, self._service = typed, opened, store, seat, service
        self._signals, self._heard = _Signals(), 0
        self._launcher = launching.build(opened, record["uuid"])
        self._progress: Progress
        self._full = self._away = self._is_replaced = False
        self._told: set[str] = set()
        self._talk = talk
        self._knowledge = samplers.read_knowledge(opened.jobdir)
        with _logging(opened.jobdir):
            self._controller = control.Controller(
                opened.experiment,
                opened.jobdir,
                store,
                opened.space,
                samplers.build(opened.experiment.sampler, opened.space, self._knowledge, goals=opened.experiment.goals),
                self._launcher,
                seed=record["seed"],
            )

    def work(self) -> int:
        """Step until the end; returns the exit code."""
        self._progress = open_progress(self._opened.experiment.budget, self._talk)
        ledger = self._controller.ledger
        self._earlier = frozenset(map(_attempt, [*ledger.last_errors, *ledger.last_interrupted]))
        self._ended = set(map(_attempt, ledger.trials)) if self._talk is Talk.VERBOSE else set()
        try:
            with _logging(self._opened.jobdir), self._signals.handled():
                self._announce()
                end, standing = self._loop()
        finally:
            if not self._is_replaced:  # else the workers are the other controller's by now
                self._launcher.close()
            self._progress.close()
        return _conclude(self._typed, end.to_json(), standing)

    def _announce(self) -> None:
        experiment, jobdir = self._opened.experiment, self._opened.jobdir
        earlier = len(self._controller.ledger.trials)
        so_far = f", {earlier} trials so far" if earlier else ""
        workers = launching.words(experiment, self._typed.path, self._typed.place)
        self._progress.note(
            f"{experiment.name}: {experiment.sampler.name}, {workers}{so_far}; everything is in {jobdir.path}"
        )
        for words in knowledge_words(self._knowledge):
            self._progress.note(words)

    def _loop(self) -> tuple[control.End, standings.Standing]:
        pause_s, shown_at = SHORTEST_PAUSE_S, 0.0
        while True:
            busy = False
            try:
                if self._full:
                    self._service.look()  # not a step before there is room
                end, busy = self._step()
                now = time.monotonic()
                if end is not None or now - shown_at >= SHOW_EVERY_S:
                    shown_at = now
                    standing = self._standing()
                    self._tell_of_ends()
                    self._tell_of_failures()
                    self._progress.show(standing)
                    if end is not None:
                        return end, standing
                self._hear_signals()
                self._service.look()
            except StoreError as error:
                self._bear(error)
            pause_s = SHORTEST_PAUSE_S if busy else min(pause_s * 1.5, LONGEST_PAUSE_S)
            time.sleep(pause_s)

    def _step(self) -> tuple[control.End | None, bool]:
        try:
            if not self._seat.keep():
                control.check_not_lost(self._store, self._opened.jobdir)
                self._is_replaced = True
                raise ResumeError("another `hpcho run` has taken over; this one ends")
            end = self._controller.step()
        except StoreFull as error:
            self._tell_of_waiting(error)
            return None, False
        except StoreLost:
            control.check_not_lost(self._store, self._opened.jobdir)
            raise
        if self._full:
            self._full = False
            self._progress.note("there is room again: going on")
        if self._away:
            self._away = False
            self._progress.note("the store is there again: going on")
        return end, self._controller.was_busy

    def _bear(self, error: StoreError) -> None:
        """The store is away: wait for it where that makes sense. Raises what it said, or Interrupted."""
        if self._signals.count > self._heard:
            raise Interrupted(f"interrupted while the store was away ({error}); `{self._typed.run}` goes on")
        self._tell_of_waiting(self._service.bear(error))

    def _tell_of_waiting(self, error: StoreError) -> None:
        """Say once what is waited for."""
        is_full = isinstance(error, StoreFull)
        if not (self._full if is_full else self._full or self._away):
            self._progress.note(f"waiting: {error}")
        self._full, self._away = self._full or is_full, self._away or not is_full

    def _tell_of_failures(self) -> None:
        """The first failure or interruption of each cause: what is wrong shows long before the run ends."""
        for trial in self._controller.ledger.last_errors:
            if trial.cause is None or _attempt(trial) in self._earlier | self._ended:
                continue
            if trial.cause.value not in self._told:
                self._told.add(trial.cause.value)
                self._progress.note(
                    f"trial {trial.tid} failed ({trial.cause}): {last_words(trial.error)}  "
                    f"(`hpcho trials {self._typed.place} --json` has the whole of it)"
                )
        for trial in self._controller.ledger.last_interrupted:
            if trial.cause is not None and trial.cause.value not in self._told and _attempt(trial) not in self._earlier:
                self._told.add(trial.cause.value)
                self._progress.note(
                    f"trial {trial.tid} was interrupted and is tried again ({trial.cause}): {trial.error}"
                )

    def _tell_of_ends(self) -> None:
        """Of every trial, where that is wanted."""
        if self._talk is not Talk.VERBOSE:
            return
        for trial in self._controller.ledger.trials:
            if trial.state in ENDED and _attempt(trial) not in self._ended:
                self._ended.add(_attempt(trial))
                self._progress.note(trial_words(trial))

    def _hear_signals(self) -> None:
        if self._signals.count == self._heard:
            return
        self._heard = self._signals.count
        running = len(self._controller.ledger.running)
        if self._heard == 1 and running:
            trials, them = ("trial", "it") if running == 1 else ("trials", "them")
            self._progress.note(f"finishing {running} running {trials}; Ctrl-C again gives {them} back")
            self._controller.stop("drain", "interrupted", "interrupted")
        elif self._heard <= 2:  # noqa: PLR2004 - the second Ctrl-C
            self._progress.note("giving running trials back; nothing is lost")
            self._controller.stop("now", "interrupted", "interrupted")
        else:
            raise Interrupted(f"interrupted; `{self._typed.run}` goes on")

    def _standing(self) -> standings.Standing:
        name, ledger = self._opened.experiment.name, self._controller.ledger
        return standings.read(name, self._opened.space, self._store, ledger, self._controller.staff)


def _attempt(trial: Trial) -> tuple[int, int]:
    """What tells a trial's failure from a later one of the same trial."""
    return trial.tid, trial.version


def look_on(typed: Typed, opened: Opened, store: TrialStore, service: Service, talk: Talk) -> int:
    """Look on while another process runs the experiment."""
    progress = open_progress(opened.experiment.budget, talk)
    ledger, cursor = standings.Ledger(opened.experiment.goals), None
    signals = _Signals()
    seat = store.get("seat")
    holder = chains.named(Owner.from_json(seat["owner"])) if seat else "a job of its own"
    try:
        with signals.handled():
            progress.note(
                f"already run by {holder}: looking on. Ctrl-C leaves it running; `hpcho stop {typed.place}` ends it."
            )
            while signals.count == 0:
                try:
                    cursor, changed = store.changes(cursor)
                    ledger.apply(changed)
                    standing = standings.read(opened.experiment.name, opened.space, store, ledger)
                    service.look()
                except StoreError as error:
                    service.bear(error)
                    continue
                progress.show(standing)
                if standing.state == "idle" and elsewhere(opened.jobdir):
                    time.sleep(BETWEEN_S)  # from one job to the next
                elif standing.state not in ("running", "waiting"):
                    break
                time.sleep(SHOW_EVERY_S)
            else:
                progress.note("no longer looking on; the run goes on")
                return 0
    finally:
        progress.close()
    if standing.end is None:
        raise Interrupted(f"the run was ended from outside; `{typed.run}` goes on")
    return _conclude(typed, standing.end, standing)


def _conclude(typed: Typed, end: dict[str, Any], standing: standings.Standing) -> int:
    """Say how it ended and what to type next."""
    trials = f"{counted(standing.ok, 'trial')} in {seconds(standing.elapsed_s)}"
    if standing.best:
        say(f"{trials}; best {best_numbers(standing.best)}: {best_words(standing)}")
    if words := goal_words(standing):
        say(f"{words[0].upper()}{words[1:]}.")
    if end["reason"] in ("failures", "objective"):
        print(f"hpcho: {end['message']}", file=sys.stderr)  # noqa: T201 - an error's place
        more = ", or go on with a larger budget.failures" if end["reason"] == "failures" else ""
        say(f"Next: mend the objective, then `{typed.run} --fresh`{more}.")
        return 1
    if end["reason"] == "interrupted":
        say(f"Interrupted; nothing is lost. `{typed.run}` goes on.")
        return Interrupted.exit_code
    if end["reason"] == "stopped":
        say(f"Stopped. `{typed.run}` goes on.")
        return 0
    say(f"Finished: {end['message']}.")
    if not end["usable"]:
        why = f"hpcho: no trial was successful; `hpcho trials {typed.place}` shows why"
        print(why, file=sys.stderr)  # noqa: T201 - an error's place
        return 1
    say(
        f"Next: `hpcho report {typed.place} --open`, `hpcho best {typed.place}`; "
        f"a larger budget and `{typed.larger}` go on from here."
    )
    return 0


@dataclass
class _Signals:
    """Counts Ctrl-C; TERM and HUP count as two at once."""

    count: int = 0

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        echo = Echo()

        def interrupt(number: int, frame: Any) -> None:
            del frame
            if echo.is_one(number):
                return
            self.count = self.count + 1 if number == signal.SIGINT else max(self.count, 2)

        heard = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # else `nohup hpcho run` is to outlive its terminal
            heard.append(signal.SIGHUP)
        before = {number: signal.signal(number, interrupt) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _logging(jobdir: JobDir) -> Iterator[None]:
    """hpcho's own log lines go to logs/controller.log."""
    logger = logging.getLogger("hpcho")
    handler = _LogFile(jobdir.logs / "controller.log", maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


class _LogFile(logging.handlers.RotatingFileHandler):
    """A log that a full disk silences; it must neither end the run nor spoil the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Drop the line."""
