"""hpcho from Python, for notebooks and scripts: ``hpcho.run``, ``hpcho.load`` and the Results that both give."""

from hpcho.api.results import Results, load
from hpcho.api.running import run

__all__ = ["Results", "load", "run"]
