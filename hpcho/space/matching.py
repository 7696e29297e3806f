"""Points of one space as points of another: parameters matched by name, and values by range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcho.errors import SpaceError
from hpcho.expression import Choice
from hpcho.space.expressions import stored_as

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcho.space.space import Leaf, Space
    from hpcho.trial import Vals

__all__ = ["matched", "matched_by_label"]


def matched(space: Space, params: Mapping[str, Any]) -> Vals | str:
    """The point of ``space`` that has these params, or why there is none: "with lr outside this space", say.

    Each parameter that exists there must have a value, and one that ``space`` has too. Params that do not exist there
    are left out.
    """
    try:
        return space.place(params)
    except SpaceError as error:
        name = str(error.path[0])
        return f"with {name} outside this space" if name in params else f"without {name}"


def matched_by_label(space: Space, vals: Vals) -> Vals | str:
    """As ``matched``, of a point as hyperopt keeps it, where nobody knows the space that it came from.

    A choice is the index of its option, and a declared number what stands for it in the store.
    """
    found: dict[str, list[Any]] = {}
    for leaf in space.leaves:
        if leaf.parent is not None and found[leaf.parent[0]] != [leaf.parent[1]]:
            found[leaf.label] = []
            continue
        stored = vals.get(leaf.label)
        if not stored:
            return f"without {leaf.label}"
        try:
            found[leaf.label] = [_stored(leaf, stored[0])]
        except (ValueError, TypeError):
            return f"with {leaf.label} outside this space"
    return found


def _stored(leaf: Leaf, value: Any) -> Any:
    """What to store for a stored value. Raises ValueError."""
    if not isinstance(leaf.node, Choice):
        return stored_as(leaf.node, value)
    if int(value) != value or not 0 <= value < len(leaf.node.options):
        raise ValueError(value)
    return int(value)
