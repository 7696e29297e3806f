"""The words of experiment.yaml's errors: how a value is shown, and which spelling was probably meant."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Flaw", "Path", "dotted", "listed", "meant", "shown"]

Path = tuple[Any, ...]
"""Keys and list indexes from the top of the YAML down to a value."""

LONGEST = 60
"""Characters of a value that an error shows."""


@dataclass(frozen=True)
class Flaw:
    """One thing wrong at ``path``: at the key itself, or ``offset`` characters into the value's text."""

    path: Path
    message: str
    at_key: bool = False
    offset: int | None = None
    place: tuple[int, int] | None = None
    """Line and column where the path alone does not tell them."""

    def below(self, *parent: Any) -> Flaw:
        """The same flaw, seen from further up."""
        return replace(self, path=(*parent, *self.path))


def dotted(path: Iterable[Any]) -> str:
    """``("launcher", "local", "workers")`` as ``launcher.local.workers``."""
    return ".".join(map(str, path))


def shown(value: Any) -> str:
    """A value as one would write it in YAML, on one line and not too long."""
    text = _flow(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return json.dumps(value, ensure_ascii=False, default=repr)


def _key(key: Any) -> str:
    return key if isinstance(key, str) and key.isidentifier() else _flow(key)


def meant(word: Any, words: Iterable[str]) -> str:
    """``"; did you mean 'sampler'?"`` where one of ``words`` is near, else an empty string."""
    spellings = {known.lower(): known for known in words}
    near = difflib.get_close_matches(str(word).lower(), spellings, n=1)
    return f"; did you mean {spellings[near[0]]!r}?" if near else ""


def listed(words: Sequence[str], last: str = "or") -> str:
    """``"a, b or c"``."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
