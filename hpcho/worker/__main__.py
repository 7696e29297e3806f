"""``python -m hpcho.worker JOB_DIR [--lifeline FD] [--max-trials N] [--idle-exit S]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hpcho.errors import HpchoError
from hpcho.jobdir import JobDir
from hpcho.worker import serve


def main() -> int:
    """Parse the command line and serve; an error is one message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m hpcho.worker", description="One worker of an experiment.")
    parser.add_argument("job_dir", type=Path, help="the experiment's job directory")
    parser.add_argument("--lifeline", type=int, metavar="FD", help="leave when this file descriptor reads its end")
    parser.add_argument("--max-trials", type=int, metavar="N", help="leave after N trials")
    parser.add_argument("--idle-exit", type=float, metavar="S", help="leave after S seconds without a trial")
    options = parser.parse_args()
    try:
        return serve(
            JobDir(options.job_dir.absolute()),
            lifeline=options.lifeline,
            max_trials=options.max_trials,
            idle_exit_s=options.idle_exit,
        )
    except HpchoError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
