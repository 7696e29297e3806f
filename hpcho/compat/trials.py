"""hyperopt's MongoTrials: the same names and meanings, on pymongo 4 and at the cost of what changes."""

from __future__ import annotations

import logging
import sys
import time
import weakref
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from hyperopt import base, fmin, tpe

from hpcho.compat.attachments import OfExperiment, OfTrial
from hpcho.compat.driver import Driver
from hpcho.compat.silence import Silence
from hpcho.errors import StoreError
from hpcho.store.stock import Documents, Entrance, connect, entrance
from hpcho.trial import TrialState

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = ["MongoTrials"]

log = logging.getLogger("hpcho.compat")

Document = dict[str, Any]
T = TypeVar("T")

PATIENCE_S = 600.0
"""How long ``fmin`` waits for a database that is away."""
LONGEST_PAUSE_S = 5.0


class MongoTrials(base.Trials):  # type: ignore[misc]  # hyperopt has no types
    """The trials of ``exp_key`` in a MongoDB, for ``fmin(..., trials=...)`` and for looking at results.

    ``url`` is hyperopt's own, ``mongo://[user[:password]@]host[:port]/database/jobs[?authSource=...]``, or pymongo's
    ``mongodb://``. The password is the URL's, else that in ``password_file``, else, as in hyperopt, in ``~/.hyperopt``;
    the file must be readable by its owner alone. As in hyperopt, a user named ``hyperopt`` is looked up in ``admin``.

    Trials in state ERROR or CANCEL are hidden, as in ``hyperopt.Trials``; ``count_by_state_unsynced`` counts them.
    ``refresh`` costs what has changed, and notices everything but documents that other programs have removed; without
    ``exp_key`` the trials are those of the whole database, and each refresh looks at them all.

    A pickle holds the trials and the URL, never the password: what is unpickled can be read as it is and connects again
    when it has to, with the password from ``password_file`` or ``~/.hyperopt``.

    Raises hpcho.errors.UsageError for a wrong URL and hpcho.errors.StoreError when the database cannot be used.
    """

    asynchronous = True

    def __init__(
        self,
        url: str,
        exp_key: str | None = None,
        cmd: Any = None,
        workdir: str | None = None,
        refresh: bool = True,
        *,
        password_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self._entrance = entrance(url)
        self._password_file = None if password_file is None else Path(password_file).absolute()
        self._begin(exp_key, cmd, workdir)
        self._connected: Documents | None = self._connect(self._entrance)
        if refresh:
            self.refresh()

    def _begin(self, exp_key: str | None, cmd: Any, workdir: str | None) -> None:
        self._exp_key = exp_key
        self.cmd = cmd
        self.workdir = workdir
        self._cursor: Any = None
        self._known: dict[int, Document] = {}
        self._silence = Silence()
        self._patience_s = 0.0
        self._is_stale = False
        self._show()

    def view(
        self, exp_key: str | None = None, cmd: Any = None, workdir: str | None = None, refresh: bool = True
    ) -> MongoTrials:
        """Another experiment in the same database, over the same connection; what is left out stays as it is here."""
        other = object.__new__(type(self))
        other._entrance, other._password_file = self._entrance, self._password_file
        other._begin(
            self._exp_key if exp_key is None else exp_key,
            self.cmd if cmd is None else cmd,
            self.workdir if workdir is None else workdir,
        )
        other._connected = self._documents.of(other._exp_key)
        if refresh:
            other.refresh()
        return other

    # -- reading ---------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring ``trials`` and all that is read off them up to date. Warns of workers that are gone or silent."""
        if self._follow():
            self._show()
        self._silence.look([each for each in self._trials if each["state"] != base.JOB_STATE_DONE])

    def refresh_tids(self, tids: Collection[int] | None) -> None:
        """hyperopt's cheaper refresh; here ``refresh`` is cheap."""
        del tids
        self.refresh()

    def count_by_state_unsynced(self, arg: int | Collection[int]) -> int:
        """How many trials are in a state, or in one of several, now."""
        wanted = {arg} if isinstance(arg, int) else set(arg)
        if not wanted <= set(base.JOB_STATES):
            raise ValueError(f"states are {base.JOB_STATES}, not {arg}")
        self._follow()
        counts = Counter(document["state"] for document in self._known.values())
        return sum(counts[state] for state in wanted)

    @property
    def attachments(self) -> OfExperiment:
        """The experiment's own files, by name."""
        return OfExperiment(self._documents)

    def trial_attachments(self, trial: Document) -> OfTrial:
        """A trial's files, by name; ``trial`` is one of ``trials``."""
        return OfTrial(self._documents, trial)

    # -- writing ---------------------------------------------------------------------------------------------------

    def new_trial_ids(self, n: int) -> list[int]:
        """Take ``n`` tids; they are unique in the whole database."""
        return self._patiently(lambda: self._documents.new_tids(n))

    def _insert_trial_docs(self, docs: Sequence[Document]) -> list[int]:
        self._patiently(lambda: self._documents.insert(docs))
        return [document["tid"] for document in docs]

    def cancel_new(self) -> int:
        """Take the trials that no worker has begun out of the queue, for good; how many they were."""
        return self._move(TrialState.CANCEL, (TrialState.NEW,))

    def requeue(self, tids: Collection[int]) -> int:
        """Give running, failed or cancelled trials to another worker; how many of ``tids`` they were.

        What their worker may still write is refused, also from one of hyperopt's own.
        """
        states = (TrialState.RUNNING, TrialState.ERROR, TrialState.CANCEL)
        return self._move(TrialState.NEW, states, tids)

    def _move(self, to: TrialState, states: Sequence[TrialState], tids: Collection[int] | None = None) -> int:
        self._follow()
        chosen = [
            document
            for tid, document in self._known.items()
            if document["state"] in states and (tids is None or tid in tids)
        ]
        moved = sum(self._documents.move(document, to) for document in chosen)
        self.refresh()
        return moved

    def delete_all(self, cond: Mapping[str, Any] | None = None) -> None:
        """Remove the trials (those like ``cond``, a MongoDB filter) with their files; without ``cond``, all files."""
        self._documents.delete(cond or {})
        self._cursor = None
        self._known = {}
        self._follow()
        self._show()

    # -- fmin ------------------------------------------------------------------------------------------------------

    def fmin(
        self,
        fn: Any,
        space: Any,
        algo: Any = None,
        max_evals: int | None = None,
        timeout: float | None = None,
        loss_threshold: float | None = None,
        max_queue_len: int = 1,
        rstate: Any = None,
        verbose: bool = False,
        pass_expr_memo_ctrl: bool | None = None,
        catch_eval_exceptions: bool = False,
        return_argmin: bool = True,
        show_progressbar: Any = True,
        early_stop_fn: Any = None,
        trials_save_file: str = "",
    ) -> Any:
        """As ``hyperopt.Trials.fmin``, but that it ends by ``timeout`` and ``loss_threshold``; see ``Driver``."""
        driver = Driver(
            tpe.suggest if algo is None else algo,
            base.Domain(fn, space, pass_expr_memo_ctrl=pass_expr_memo_ctrl),
            self,
            rstate=np.random.default_rng() if rstate is None else rstate,
            max_queue_len=max_queue_len,
            max_evals=sys.maxsize if max_evals is None else max_evals,
            timeout=timeout,
            loss_threshold=loss_threshold,
            verbose=verbose,
            show_progressbar=show_progressbar,
            early_stop_fn=early_stop_fn,
            trials_save_file=trials_save_file,
        )
        driver.catch_eval_exceptions = catch_eval_exceptions
        self._patience_s = PATIENCE_S
        try:
            driver.exhaust()
        finally:
            self._patience_s = 0.0
        if return_argmin:
            return self.argmin
        return fmin.space_eval(space, self.argmin) if len(self) else None

    # -- the connection --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Hang up; what was read stays, and the next call that needs the database connects again."""
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def __getstate__(self) -> dict[str, Any]:
        state = {name: self.__dict__[name] for name in ("_exp_key", "cmd", "workdir", "_known", "_password_file")}
        return {**state, "url": self._entrance.url, "user": self._entrance.user}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._entrance = Entrance(state["url"], state["user"])
        self._password_file = state["_password_file"]
        self._begin(state["_exp_key"], state["cmd"], state["workdir"])
        self._known = state["_known"]
        self._connected = None
        self._show()

    @property
    def _documents(self) -> Documents:
        if self._connected is None:
            self._connected = self._connect(self._entrance)
        return self._connected

    def _connect(self, way: Entrance) -> Documents:
        connection = connect(way, self._password_file)
        # hyperopt's scripts never close what they open: it goes with the last that uses it.
        weakref.finalize(connection, connection.client.close)
        return Documents(connection, self._exp_key)

    def _patiently(self, call: Callable[[], T]) -> T:
        """Make a call that may be made again; in ``fmin``, again and again while the database is away."""
        began, pause_s = time.monotonic(), 0.1
        while True:
            try:
                return call()
            except StoreError as error:
                if time.monotonic() >= began + self._patience_s:
                    raise
                log.warning("waiting for the database: %s", error)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _follow(self) -> bool:
        """Read what has changed; whether anything has."""
        is_first = self._cursor is None
        self._cursor, changed, gone = self._patiently(lambda: self._documents.changes(self._cursor))
        if is_first:
            self._known = {}
        for tid in gone:
            self._known.pop(tid, None)
        for document in changed:
            self._known[document["tid"]] = document
        self._is_stale = self._is_stale or is_first or bool(changed or gone)
        return self._is_stale

    def _show(self) -> None:
        """Make ``trials`` those that are known by now."""
        self._dynamic_trials = [self._known[tid] for tid in sorted(self._known)]
        self._trials = [each for each in self._dynamic_trials if each["state"] in base.JOB_VALID_STATES]
        self._ids = set(self._known)
        self._is_stale = False
