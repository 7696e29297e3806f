"""The command line. It builds everything from the parts below it, and alone prints and exits."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from hpcho.errors import HpchoError, Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

SIGPIPE_EXIT = 141
"""What a shell shows for a program whose reader went away (128 + SIGPIPE)."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code; every error becomes one message on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    given, debug = _without_debug(given)
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # A terminal in an old locale must not turn a result into a UnicodeEncodeError.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = _run(given, debug=debug)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = SIGPIPE_EXIT
    if code == SIGPIPE_EXIT:
        # The interpreter flushes once more on its way out; by then there must be somewhere to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _open_standard_streams() -> None:
    """Where a caller has closed one (``>&-``, some schedulers and daemons), print to nowhere.

    A file or database that is opened later would get its number, and what others print in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - it stays open


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """``--debug`` counts wherever it stands, as a user adds it to the end of a line that failed."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [word for word in arguments[:end] if word != "--debug"]
    return kept + arguments[end:], len(kept) < end


def _run(arguments: list[str], *, debug: bool) -> int:
    try:
        from hpcho.cli.app import invoke  # noqa: PLC0415 - in here, an import that fails is reported like any other error

        return invoke(arguments)
    except BrokenPipeError:
        return SIGPIPE_EXIT
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - what nobody foresaw still ends as one message
        if debug:
            traceback.print_exc()
        message, code = _said(error, arguments)
        print(f"hpcho: {message}", file=sys.stderr)  # noqa: T201 - stderr is where a command line's errors go
        return code


def _said(error: BaseException, arguments: list[str]) -> tuple[str, int]:
    """An error's message and exit code."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", Interrupted.exit_code
    if isinstance(error, HpchoError):
        return str(error), error.exit_code
    if hasattr(error, "format_message"):  # a wrong command line; the class is click's or typer's, as typer's version is
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "hpcho"
        return f"{error.format_message().rstrip('.')}. `{command} --help` shows what it takes", 2
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}", 1
    return _unforeseen(error, arguments), 1


def _unforeseen(error: BaseException, arguments: list[str]) -> str:
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return (
        f"{said}\n"
        "This is a fault of hpcho itself; stored trials are safe. "
        f"`hpcho --debug {' '.join(arguments)}` shows the traceback; "
        "a run's own log is logs/controller.log in its job directory."
    )
