"""``python -m hpcho.worker JOB_DIR [--lifeline FD] [--max-trials N] [--idle-exit S] [--wait S]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hpcho
from hpcho import inside
from hpcho.errors import HpchoError, LauncherError
from hpcho.jobdir import JobDir
from hpcho.worker import serve

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse ``argv`` (default: the command line) and serve; an error is one message on stderr. Returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m hpcho.worker", description="One worker of an experiment.")
    parser.add_argument("job_dir", type=Path, help="the experiment's job directory")
    parser.add_argument("--lifeline", type=int, metavar="FD", help="leave when this file descriptor reads its end")
    parser.add_argument("--max-trials", type=int, metavar="N", help="leave after N trials")
    parser.add_argument("--idle-exit", type=float, metavar="S", help="leave after S seconds without a trial")
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="wait so long for a stopped server")
    options = parser.parse_args(argv)
    try:
        if flaw := inside.version_flaw(hpcho.__version__):
            raise LauncherError(flaw)
        return serve(
            JobDir(options.job_dir.absolute()),
            lifeline=options.lifeline,
            max_trials=options.max_trials,
            idle_exit_s=options.idle_exit,
            wait_s=options.wait,
        )
    except HpchoError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
