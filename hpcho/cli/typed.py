"""The commands that a message tells to type next: those that work after the one that was typed, with its settings."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcho.jobdir import JobDir

__all__ = ["Typed"]

LEADS_ELSEWHERE = frozenset({"name", "job_dir"})
"""Settings that choose the job directory: by the YAML alone it is not found."""


@dataclass(frozen=True)
class Typed:
    """The experiment as it was named on the command line, and where that led."""

    path: Path
    settings: tuple[str, ...]
    jobdir: JobDir

    @property
    def run(self) -> str:
        """The same ``hpcho run``, quoted for a shell."""
        return self._run(self.settings)

    @property
    def larger(self) -> str:
        """``hpcho run`` for whoever changes settings: as short as it may be, with what leads to the job directory."""
        return self._run(self._leading) if self._leading else "hpcho run"

    @property
    def place(self) -> str:
        """EXPERIMENT for commands that take no settings, quoted: the YAML, or the job directory that settings chose."""
        if not self._leading:
            return shlex.quote(str(self.path))
        folder, here = self.jobdir.path, Path.cwd()
        return shlex.quote(str(folder.relative_to(here) if folder.is_relative_to(here) else folder))

    @property
    def _leading(self) -> tuple[str, ...]:
        return tuple(text for text in self.settings if text.partition("=")[0] in LEADS_ELSEWHERE)

    def _run(self, settings: tuple[str, ...]) -> str:
        return shlex.join(["hpcho", "run", str(self.path), *(word for text in settings for word in ("--set", text))])
