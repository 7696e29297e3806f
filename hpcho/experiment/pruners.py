"""The YAML's ``pruner:``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from hpcho.experiment.model import Model
from hpcho.experiment.wording import Flaw, listed, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["PrunerSpec"]

PositiveInt = Annotated[int, Field(ge=1)]

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "asha": ("grace", "factor", "max_steps"),
    "hyperband": ("grace", "factor", "max_steps"),
    "median": ("grace", "startup", "max_steps"),
}
"""Which options each pruner has."""


class PrunerSpec(Model):
    """A pruner's name and its options. Steps are counted as ``trial.report(step, loss)`` names them."""

    like: ClassVar[str] = "{name: asha, grace: 3}"

    name: Literal["none", "asha", "hyperband", "median"] = "none"
    grace: PositiveInt = Field(4, description="no trial is pruned before this step")
    factor: Annotated[int, Field(ge=2)] = Field(
        2, description="asha, hyperband: one in so many goes on at each rung, and rungs lie so many times apart"
    )
    startup: PositiveInt = Field(5, description="median: nothing is pruned before so many trials are done")
    max_steps: PositiveInt | None = Field(
        None, description="the step that a whole trial ends with; hyperband must know it, others learn it"
    )

    @classmethod
    def read(cls, data: Any) -> Any:
        """``asha`` is short for ``{name: asha}``."""
        return {"name": data} if isinstance(data, str) else data

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Options that the pruner does not have, and a range of steps that leaves it nothing to do."""
        name = data.get("name", "none")
        if not isinstance(name, str) or name not in OPTIONS:
            return
        defaults = {key: field.default for key, field in cls.model_fields.items()}
        for key, value in data.items():
            if key in cls.model_fields and key != "name" and key not in OPTIONS[name] and value != defaults[key]:
                owners = [other for other, options in OPTIONS.items() if key in options]
                yield Flaw((key,), f"is an option of {listed(owners, 'and')}: {name} has none such", at_key=True)
        most, grace = data.get("max_steps"), data.get("grace", defaults["grace"])
        if name == "hyperband" and most is None:
            yield Flaw((), "hyperband needs max_steps: the step that a whole trial ends with (its epochs, say)")
        if type(most) is int and type(grace) is int and most <= grace:
            message = f"must be more than grace ({grace}), not {shown(most)}: no trial could be pruned"
            yield Flaw(("max_steps",), message)
