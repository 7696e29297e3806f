"""An exception that left the user's code, as a cause and as text."""

from __future__ import annotations

import os
import signal
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.trial import Cause

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["describe", "may_be_killed_for_memory", "storable"]

MAX_CHARS = 100_000
"""Of a longer text the middle is left out: an exception may carry a whole array in its message."""

_OWN = str(Path(__file__).parent.parent) + os.sep
_OUT_OF_MEMORY = frozenset({"MemoryError", "ResourceExhaustedError", "OutOfMemoryError"})
"""Python's, TensorFlow's and torch's. By name: their modules are imported by the user's code or not at all."""


def describe(error: BaseException) -> tuple[Cause, str]:
    """The cause, and the traceback with all chained exceptions, without this package's own frames at its top.

    An error of this package's own (an objective that cannot be loaded, a command that failed) speaks for itself: of it
    only the message is given, with the tracebacks of what led to it.
    """
    for link in _chain(error):
        link.__traceback__ = _user_part(link.__traceback__)
    if type(error).__module__.startswith("hpcho."):
        earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        text = f"{_render(earlier)}\n{error}\n" if earlier else f"{error}\n"
    else:
        text = _render(error)
    if isinstance(error, SystemExit):
        advice = "return a loss or raise an error instead"
        return Cause.WORKER, f"{text}the objective called sys.exit({error.code!r}): {advice}\n"
    if not isinstance(error, Exception):
        return Cause.WORKER, text
    return (Cause.OOM if _is_out_of_memory(error) else Cause.OBJECTIVE), text


def may_be_killed_for_memory(error: BaseException) -> bool:
    """Whether the error says that a process of the objective's was killed: the kernel's counter tells for what."""
    killed = (-signal.SIGKILL, 128 + signal.SIGKILL)  # as subprocess and as a shell say it
    return any(getattr(link, "returncode", None) in killed for link in _chain(error))


def _is_out_of_memory(error: BaseException) -> bool:
    """Also where it was wrapped on purpose (``raise ... from``), and JAX's, which is told by its text only."""
    link: BaseException | None = error
    while link is not None:
        names = {kind.__name__ for kind in type(link).__mro__}
        if names & _OUT_OF_MEMORY or ("XlaRuntimeError" in names and "RESOURCE_EXHAUSTED" in str(link)):
            return True
        link = link.__cause__
    return False


def _chain(error: BaseException) -> list[BaseException]:
    """The error and all that it is chained to, each once: a chain may be a ring."""
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in found:
            found[id(link)] = link
            waiting += [link.__cause__, link.__context__]
    return list(found.values())


def _user_part(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((_OWN, "<frozen importlib")):
        trace = trace.tb_next
    return trace


def _render(error: BaseException) -> str:
    return storable("".join(traceback.format_exception(type(error), error, error.__traceback__)))


def storable(text: str) -> str:
    """The text without lone surrogates (file names have them), which no document can hold, and not too long."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) > MAX_CHARS:
        half = MAX_CHARS // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
    return text
