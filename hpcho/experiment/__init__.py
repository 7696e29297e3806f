"""experiment.yaml: its models, and how it is read."""

from hpcho.experiment.editors import json_schema
from hpcho.experiment.load import load
from hpcho.experiment.schema import Experiment
from hpcho.experiment.source import Source

__all__ = ["Experiment", "Source", "json_schema", "load"]
