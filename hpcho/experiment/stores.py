"""experiment.yaml's ``store:`` what keeps trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from hpcho.experiment.model import Model, OneOf
from hpcho.experiment.wording import Flaw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["AutoSpec", "MongoSpec", "SqliteSpec", "StoreSpec"]

HIGHEST_PORT = 65535

Text = Annotated[str, Field(min_length=1)]


class AutoSpec(Model):
    """sqlite where the launcher starts workers on this machine, mongo where workers may be anywhere."""

    like: ClassVar[str] = "{}"


class SqliteSpec(Model):
    """One file, for the processes of one machine."""

    like: ClassVar[str] = "{}"


class MongoSpec(Model):
    """A MongoDB: the one at ``url``, or else a server that the run starts, secures and stops by itself."""

    like: ClassVar[str] = '{url: "mongodb://user@host:27017/jobs", password_file: pw}'
    of_url: ClassVar[tuple[str, ...]] = ("password_file",)
    of_managed: ClassVar[tuple[str, ...]] = ("host", "port", "data_dir")

    url: Text | None = Field(
        None, description="as pymongo reads it, mongodb:// or mongodb+srv://, without the password"
    )
    password_file: Text | None = Field(
        None, description="a file beside the YAML that holds the password, readable by its owner alone"
    )
    host: Text | None = Field(
        None, description="name or address of this machine that workers reach a managed server at, and where it listens"
    )
    port: Annotated[int, Field(ge=1, le=HIGHEST_PORT)] | None = Field(
        None, description="a managed server's port (default: a free one)"
    )
    data_dir: Text | None = Field(
        None, description="a folder on a local disk for a managed server's data (default: the job directory)"
    )
    stock_workers: bool = Field(False, description="lets hyperopt's own hyperopt-mongo-worker processes join")

    @classmethod
    def read(cls, data: Any) -> Any:
        """A URL alone is short for ``{url: ...}``."""
        return {"url": data} if isinstance(data, str) else data

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """What belongs to a URL beside a managed server, and the other way round."""
        has_url = data.get("url") is not None
        for key in cls.of_managed if has_url else cls.of_url:
            if data.get(key) is not None:
                of, remedy = ("a managed server", "url") if has_url else ("the server at a url", "that url")
                what = f"remove it, or {remedy}" if has_url else f"add {remedy}, or remove it"
                yield Flaw((key,), f"belongs to {of}: {what}", at_key=True)


class StoreSpec(OneOf):
    """Exactly one store. ``store: mongo`` in YAML is short for ``store: {mongo: {}}``."""

    like: ClassVar[str] = "{mongo: {port: 27017}}"
    noun: ClassVar[str] = "store"

    auto: AutoSpec | None = None
    sqlite: SqliteSpec | None = None
    mongo: MongoSpec | None = None

    @classmethod
    def read(cls, data: Any) -> Any:
        """A URL is short for the mongo there."""
        return {"mongo": data} if isinstance(data, str) and "://" in data else super().read(data)
