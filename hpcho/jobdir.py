"""The job directory: where everything of one experiment lives, and the record that identifies it.

runs/<name>/
  experiment.json   the record: uuid, settings in force, seed, versions, git commit
  experiment.yaml   the YAML as it was at the first run
  extends/          the files that it extends, likewise
  knowledge.json    what was taken from other experiments (warm_start:) at the first run
  source/           the objective's source as it was at the first run; workers run this copy
  trials.db         the sqlite store (elsewhere where this is a network filesystem; the record says where)
  mongo/            a managed MongoDB server's password, address and data (these elsewhere, as above)
  trials/<tid>/     stdout.log, stderr.log, attachments/, and what the objective writes under trial.dir
  jobs/             of a SLURM cluster: the jobs' scripts and logs, and the pickle that they start from; python: the one
                    in the image of `container:`
  logs/             controller.log, worker-<host>-<pid>.log, server.log
  report/           what `hpcho report` writes
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcho.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["JobDir"]


@dataclass(frozen=True)
class JobDir:
    """Paths of one experiment's job directory."""

    path: Path

    @property
    def record_file(self) -> Path:
        """What identifies the experiment, and the settings in force."""
        return self.path / "experiment.json"

    @property
    def knowledge(self) -> Path:
        """What was taken from other experiments; there is no such file where nothing was."""
        return self.path / "knowledge.json"

    @property
    def source(self) -> Path:
        """The objective's source as it was at the first run."""
        return self.path / "source"

    @property
    def logs(self) -> Path:
        """The controller's and the workers' own logs."""
        return self.path / "logs"

    @property
    def report(self) -> Path:
        """What ``hpcho report`` writes unless told otherwise."""
        return self.path / "report"

    @property
    def trials(self) -> Path:
        """The folder of the trials' folders."""
        return self.path / "trials"

    def trial(self, tid: int) -> Path:
        """The folder of one trial; not made here."""
        return self.path / "trials" / str(tid)

    def read_record(self) -> dict[str, Any] | None:
        """The record, or None where no run has been. Raises UsageError when it cannot be read as JSON."""
        try:
            record: dict[str, Any] = json.loads(self.record_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UsageError(
                f"{self.record_file} is damaged ({error}): bring it back from a copy, or move {self.path} away"
            ) from error
        return record

    def write_record(self, record: dict[str, Any]) -> None:
        """Replace the record as a whole: a reader sees the old one or the new one."""
        write_atomically(self.record_file, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that a crash at any moment leaves the old file or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
