"""``python -m hpcho.store.server JOB_DIR --place PLACE ...``: keeps one managed server. Nothing secret is told so."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

from hpcho.jobdir import JobDir
from hpcho.store.server.keeper import Keeper, Wish
from hpcho.store.server.place import Files
from hpcho.store.server.program import Program


def main() -> int:
    """Parse the command line and keep the server."""
    parser = argparse.ArgumentParser(prog="python -m hpcho.store.server", description="Keeps a managed MongoDB server.")
    parser.add_argument("job_dir", type=Path, help="the experiment's job directory")
    parser.add_argument("--place", type=Path, required=True, help="the folder of the data")
    parser.add_argument("--program", required=True, help="the server's program")
    parser.add_argument("--kind", required=True, help="which one it is")
    parser.add_argument("--host", required=True, help="where workers reach it")
    parser.add_argument("--port", type=int, help="the port (default: the one it had, or a free one)")
    parser.add_argument(
        "--linger", type=float, required=True, metavar="S", help="end when nobody was there for so long"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)sZ %(levelname)s %(message)s", stream=sys.stderr)
    logging.Formatter.converter = time.gmtime
    logging.getLogger("pymongo").setLevel(logging.WARNING)
    files = Files(JobDir(options.job_dir), options.place)
    return Keeper(files, Program(options.kind, options.program), Wish(options.host, options.port, options.linger)).run()


if __name__ == "__main__":
    sys.exit(main())
