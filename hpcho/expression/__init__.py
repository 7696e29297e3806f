"""Search-space expressions as data: hyperopt's distributions, literals, and structures of them.

Both ``hp: "quniform(1, 4, 1)"`` in experiment.yaml and ``{{quniform(1, 4, 1)}}`` in a hyperas file become these nodes.
Text is parsed with ``ast`` and never evaluated.
"""

from hpcho.expression.nodes import (
    Choice,
    Distribution,
    Literal,
    Node,
    Opaque,
    Structure,
    Template,
    leaves,
    value,
)
from hpcho.expression.reading import DISTRIBUTIONS, Found, distribution_name, from_ast, parse

__all__ = [
    "DISTRIBUTIONS",
    "Choice",
    "Distribution",
    "Found",
    "Literal",
    "Node",
    "Opaque",
    "Structure",
    "Template",
    "distribution_name",
    "from_ast",
    "leaves",
    "parse",
    "value",
]
