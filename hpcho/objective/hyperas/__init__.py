"""Compiles files of the classic hyperas form: ``data()``, and ``create_model(...)`` with ``{{uniform(0, 1)}}`` inside.

``{{f(x)}}`` is valid Python, a set in a set, so such a file is parsed as it is. Nothing is written anywhere, and
hyperas need not be installed.
"""

from hpcho.objective.hyperas.compiling import Compiled, compile_file
from hpcho.objective.hyperas.evaluating import HyperasObjective

__all__ = ["Compiled", "HyperasObjective", "compile_file"]
