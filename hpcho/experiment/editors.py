"""The JSON Schema of experiment.yaml, with which editors complete and check it while one types."""

from __future__ import annotations

from typing import Any

from hpcho.experiment.options import OPTUNA, SAMPLER_OPTIONS
from hpcho.experiment.schema import Experiment, ObjectiveSpec

__all__ = ["json_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

NUMBER_PAIR = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
INTEGER_PAIR = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
LOG = {"type": "boolean", "description": "equally likely by order of magnitude; bounds stay real ones"}

SPACE: dict[str, Any] = {
    "type": "object",
    "description": "the parameters by name",
    "minProperties": 1,
    "propertyNames": {"minLength": 1},
    "additionalProperties": {"$ref": "#/$defs/Parameter"},
}

PARAMETER: dict[str, Any] = {
    "description": "one of {int: [low, high]}, {float: [low, high]}, {choice: [...]}, {hp: EXPRESSION}",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "int": {**INTEGER_PAIR, "description": "integers from low to high, both included"},
        "float": {**NUMBER_PAIR, "description": "numbers from low to high"},
        "step": {"type": "number", "exclusiveMinimum": 0, "description": "low, low + step, ... <= high"},
        "log": LOG,
        "choice": {
            "type": "array",
            "minItems": 1,
            "items": {"$ref": "#/$defs/Option"},
            "description": "one of these; {name: {parameters}} for an option with parameters of its own",
        },
        "hp": {"type": "string", "description": "a hyperopt expression: quniform(1, 4, 1)"},
    },
    "oneOf": [{"required": [form]} for form in ("int", "float", "choice", "hp")],
    "dependentSchemas": {
        form: {"not": {"anyOf": [{"required": ["step"]}, {"required": ["log"]}]}} for form in ("choice", "hp")
    },
}

OPTION: dict[str, Any] = {
    "anyOf": [
        {"type": ["string", "number", "boolean", "null", "array"]},
        {
            "type": "object",
            "description": "an option that is itself a dict, or no string and has parameters",
            "required": ["value"],
            "properties": {"value": {}, "space": {"$ref": "#/$defs/Space"}},
            "additionalProperties": False,
        },
        {
            "type": "object",
            "description": "an option with the parameters that exist only with it",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": {
                "anyOf": [{"type": "null"}, {"type": "object", "additionalProperties": {"$ref": "#/$defs/Parameter"}}]
            },
        },
    ]
}


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12). What only hpcho can see, such as low >= high, it lets pass."""
    schema = Experiment.model_json_schema()
    models = schema["$defs"]
    models |= {"Space": SPACE, "Parameter": PARAMETER, "Option": OPTION}
    schema["properties"]["space"] = {"$ref": "#/$defs/Space"}
    extends = schema["properties"]["extends"]
    schema["properties"]["extends"] = {"anyOf": [{"type": "string", "minLength": 1}, extends]}
    models["ObjectiveSpec"]["oneOf"] = [{"required": [kind]} for kind in ObjectiveSpec.kinds]
    models["ObjectiveSpec"]["dependentRequired"] = {"data": ["python"]}
    models["Budget"]["minProperties"] = 1
    _add_short_forms(models)
    return {"$schema": DIALECT, "title": "experiment.yaml", **{k: v for k, v in schema.items() if k != "title"}}


def _add_short_forms(models: dict[str, Any]) -> None:
    """Samplers, pruners, launchers, stores by name alone, a MongoDB by its URL, a sampler's options beside its name."""
    sampler = models["SamplerSpec"]
    names = sampler["properties"]["name"]["enum"]
    known = {option: words for rules in SAMPLER_OPTIONS.values() for option, (_, words) in rules.items()}
    sampler["properties"] |= {option: {"type": "number", "description": words} for option, words in known.items()}
    theirs = {
        "type": "object",
        "description": "One of Optuna's samplers, by its class, with arguments of that class beside the name",
        "required": ["name"],
        "properties": {
            "name": {"enum": [name for name in names if name.startswith(OPTUNA)]},
            "seed": sampler["properties"]["seed"],
        },
    }
    models["SamplerSpec"] = {"anyOf": [{"type": "string", "enum": names}, sampler, theirs]}
    pruner = models["PrunerSpec"]
    short = [name for name in pruner["properties"]["name"]["enum"] if name != "hyperband"]  # that one needs an option
    models["PrunerSpec"] = {"anyOf": [{"type": "string", "enum": short}, pruner]}
    for name in ("LauncherSpec", "StoreSpec"):
        spec = models[name]
        spec["minProperties"] = spec["maxProperties"] = 1
        models[name] = {"anyOf": [{"type": "string", "enum": list(spec["properties"])}, spec]}
    warm = models["WarmStart"]
    warm["oneOf"] = [{"required": ["experiment"]}, {"required": ["url", "exp_key"]}]
    models["WarmStart"] = {"anyOf": [{"type": "string", "minLength": 1}, warm]}
    url = {"type": "string", "pattern": "://"}
    models["StoreSpec"]["anyOf"].append(url)
    models["MongoSpec"] = {"anyOf": [url, models["MongoSpec"]]}
