"""docs/commands.md, made from the commands' own help. `make docs` writes it; a test says when it is out of date."""

import os
import subprocess
import sys

COMMANDS = (
    *("init", "check", "run", "status", "trials", "best", "report", "export"),
    *("enqueue", "requeue", "stop", "worker", "doctor", "schema"),
)


def helped(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "hpcho", *arguments, "--help"],
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def page():
    blocks = [f"## {command}\n\n```\n{helped(command)}\n```" for command in COMMANDS]
    return (
        "\n\n".join(["# Commands", "Made by `make docs` from what `--help` says.", f"```\n{helped()}\n```", *blocks])
        + "\n"
    )


if __name__ == "__main__":
    sys.stdout.write(page())
