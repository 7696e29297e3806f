"""The base of experiment.yaml's models: strict, frozen, and telling all that is wrong at once, in plain words."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from hpcho.experiment.wording import Flaw, listed, meant, shown

__all__ = ["Model", "OneOf", "flaws_in"]

KIND = "hpcho"
"""Type of the pydantic errors whose message is ours."""


class Model(BaseModel):
    """Base of all: immutable, strict about keys and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_inf_nan="constants")

    like: ClassVar[str] = ""
    """How one writes it, for the error about something else in its place."""
    noun: ClassVar[str] = "key"
    """What its keys are."""

    @classmethod
    def read(cls, data: Any) -> Any:
        """The mapping that a short form stands for; anything else as it is."""
        return data

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """What is wrong beyond single keys' types; ``data`` was validated by nobody yet."""
        del data
        return iter(())

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        if isinstance(data, cls):
            return data
        data = cls.read(data)
        flaws: list[Flaw] = []
        model = None
        try:
            model = handler(data)
        except ValidationError as error:
            flaws += [cls._explain(details) for details in error.errors(include_url=False)]
        known = {flaw.path for flaw in flaws}
        if isinstance(data, Mapping):
            plain = {k: v.model_dump() if isinstance(v, BaseModel) else v for k, v in data.items()}
            flaws += [flaw for flaw in cls.flaws(plain) if flaw.path not in known]
        if flaws:
            raise ValidationError.from_exception_data(cls.__name__, list(map(_details, flaws)))
        return model

    @classmethod
    def _explain(cls, error: ErrorDetails) -> Flaw:
        """A pydantic error in our words."""
        if error["type"] == KIND:
            return _flaw(error)
        path, value = error["loc"], error["input"]
        is_extra = error["type"] in ("extra_forbidden", "invalid_key")
        if path and path[-1] == "[key]":
            return Flaw(path[:-1], f"a key here must be a string: write {shown(str(value))} in quotes", at_key=True)
        return Flaw(path, cls._unknown(path[-1]) if is_extra else cls._wrong(error), at_key=is_extra)

    @classmethod
    def _unknown(cls, key: Any) -> str:
        known = list(cls.model_fields)
        hint = meant(key, known) or f"; here are {listed(known, 'and')}"
        return f"unknown {cls.noun} {shown(key)}{hint}"

    @classmethod
    def _wrong(cls, error: ErrorDetails) -> str:
        """What the value should be and is."""
        kind, path, value = error["type"], error["loc"], error["input"]
        about = cls.model_fields[str(path[0])].description if path else None
        if kind == "missing":
            return f"is required: {about}"
        if kind in ("string_pattern_mismatch", "string_too_long", "string_too_short"):
            return f"must be {about}, not {shown(value)}"
        if kind.startswith(("model_", "dict_")):
            like = f" like {cls.like}" if cls.like and not path else ""
            return f"must be a mapping{like}, not {shown(value)}"
        return _wrong_value(error)


class OneOf(Model):
    """Exactly one of its keys, each a mapping. ``local`` in YAML is short for ``{local: {}}``."""

    @classmethod
    def read(cls, data: Any) -> Any:
        """A name alone, and ``{name: }`` with nothing in it, are short for ``{name: {}}``."""
        if isinstance(data, str):
            return {data: {}}
        if isinstance(data, Mapping) and len(data) == 1 and None in data.values():
            return {name: {} for name in data}
        return data

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Not exactly one."""
        given = [name for name, value in data.items() if value is not None]
        if len(given) != 1 and set(data) <= set(cls.model_fields):
            found = listed(given, "and") if given else "none"
            yield Flaw((), f"needs exactly one {cls.noun} ({listed(tuple(cls.model_fields))}), and has {found}")


def flaws_in(error: ValidationError) -> list[Flaw]:
    """The flaws that a model's validation ended with."""
    return [_flaw(details) for details in error.errors(include_url=False)]


def _details(flaw: Flaw) -> InitErrorDetails:
    context = {"said": flaw.message, "at_key": flaw.at_key, "offset": flaw.offset}
    # The input would be shown in pydantic's own text only, after a message that has said it already.
    return InitErrorDetails(type=PydanticCustomError(KIND, "{said}", context), loc=flaw.path, input=None)


def _flaw(error: ErrorDetails) -> Flaw:
    said = error["ctx"]
    return Flaw(error["loc"], said["said"], said["at_key"], said["offset"])


def _wrong_value(error: ErrorDetails) -> str:
    value, context = error["input"], error.get("ctx", {})
    if error["type"] == "literal_error":
        words = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return f"must be {listed(words)}, not {shown(value)}{meant(value, words)}"
    if error["type"] in RANGES:
        word, limit = RANGES[error["type"]]
        least = f" {context[limit]:g}" if limit else ""
        return f"must be {word}{least}, not {shown(value)}"
    if error["type"] in TYPES:
        word, hint = TYPES[error["type"]]
        return f"must be {word}, not {shown(value)}{hint(value)}"
    return f"{error['msg']} (it is {shown(value)})"


def _string_hint(value: Any) -> str:
    if isinstance(value, Mapping) and len(value) == 1 and not any(value.values()):
        value = "{" + str(next(iter(value))) + "}"
    return "" if isinstance(value, (Mapping, list, tuple)) else f"; write {shown(_as_text(value))} in quotes"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else shown(value)


def _integer_hint(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    return "; remove the quotes" if isinstance(value, str) and value.isdecimal() else ""


def _number_hint(value: Any) -> str:
    try:
        return "; remove the quotes" if isinstance(value, str) and float(value) else ""
    except ValueError:
        return ""


def _bool_hint(value: Any) -> str:
    words = {"yes": "true", "on": "true", "no": "false", "off": "false"}
    word = words.get(value.lower()) if isinstance(value, str) else None
    return f"; write {word}" if word else ""


def _list_hint(value: Any) -> str:
    if isinstance(value, str):
        try:
            return f"; write [{', '.join(map(_item, shlex.split(value)))}]"
        except ValueError:
            return ""
    return f"; write [{shown(value)}]" if value is not None else ""


def _item(word: str) -> str:
    return word if word.replace(".", "").replace("-", "").replace("/", "").isalnum() else shown(word)


def _no_hint(value: Any) -> str:
    del value
    return ""


RANGES = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "finite_number": ("a finite number", ""),
    "too_short": ("a list that is not empty", ""),
}
"""pydantic's error type -> our words, and where the limit stands."""

TYPES: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "string_type": ("a string", _string_hint),
    "int_type": ("an integer", _integer_hint),
    "float_type": ("a number", _number_hint),
    "bool_type": ("true or false", _bool_hint),
    "tuple_type": ("a list", _list_hint),
    "list_type": ("a list", _list_hint),
}
"""pydantic's error type -> our words, and how to write what was probably meant."""
