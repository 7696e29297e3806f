"""experiment.yaml's ``container:`` the Apptainer image that workers run in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from hpcho.experiment.model import Model
from hpcho.experiment.wording import Flaw, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ContainerSpec"]

OPTIONS = ("ro", "rw")


class ContainerSpec(Model):
    """An image for workers. ``container: hpcho.sif`` in YAML is short for ``container: {image: hpcho.sif}``."""

    like: ClassVar[str] = "{image: hpcho.sif, binds: [/scratch]}"

    image: str = Field(min_length=1, description="an image file, from the YAML's folder on; self: hpcho's own image")
    binds: tuple[str, ...] = Field(
        (), strict=False, description="further folders to be seen inside: FOLDER, FOLDER:INSIDE or FOLDER:INSIDE:ro"
    )
    nv: bool = Field(True, description="with the NVIDIA driver of machines that have one")

    @classmethod
    def read(cls, data: Any) -> Any:
        """``hpcho.sif`` is short for ``{image: hpcho.sif}``."""
        return {"image": data} if isinstance(data, str) else data

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """An image that is no file, and folders that Apptainer would not take."""
        image = data.get("image")
        if isinstance(image, str) and "://" in image:
            message = f"must be an image file: `apptainer pull hpcho.sif {image}` makes one"
            yield Flaw(("image",), message)
        binds = data.get("binds")
        for index, bind in enumerate(binds if isinstance(binds, (list, tuple)) else ()):
            if isinstance(bind, str) and (flaw := _bind_flaw(bind)):
                yield Flaw(("binds", index), flaw)


def _bind_flaw(bind: str) -> str | None:
    form = f"must be FOLDER, FOLDER:INSIDE or FOLDER:INSIDE:ro, of absolute folders, not {shown(bind)}"
    if "," in bind:
        return f"{form}; a comma would be the end of it, for Apptainer"
    parts = bind.split(":")
    folders, options = parts[:2], parts[2:]
    is_right = all(folder.startswith("/") for folder in folders) and len(options) <= 1
    return None if is_right and all(option in OPTIONS for option in options) else form
