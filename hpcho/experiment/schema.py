"""experiment.yaml as frozen models. Unknown keys are refused; what a key means is said in its description."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Budget",
    "Experiment",
    "Keep",
    "LauncherSpec",
    "LocalLauncher",
    "ObjectiveSpec",
    "Retries",
    "SamplerSpec",
    "TrialSpec",
]

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Model(BaseModel):
    """Base of all: immutable, strict about keys and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ObjectiveSpec(Model):
    """Exactly one of python, hyperas, command."""

    python: str | None = Field(None, description="FILE.py:FUNCTION beside the YAML, or package.module:FUNCTION")
    data: str | None = Field(None, description="like python: called once per worker process; its value is the 2nd argument")
    hyperas: str | None = Field(None, description="a classic hyperas file with data() and create_model()")
    command: tuple[str, ...] | None = Field(None, description="argv with {param} placeholders")


class SamplerSpec(Model):
    """A sampler's name, its seed (drawn and recorded when absent) and its own options."""

    name: Literal["tpe", "anneal", "random", "atpe"] = "tpe"
    seed: Count | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="further keys beside name and seed land here")


class Budget(Model):
    """When a run ends: the first one met."""

    trials: PositiveInt | None = Field(None, description="successful trials wanted")
    hours: PositiveFloat | None = Field(None, description="wall time summed while a controller runs")
    loss: float | None = Field(None, description="end once a trial's loss is this small")
    failures: PositiveInt | None = Field(None, description="end after so many failed trials (default: as many as trials)")


class Retries(Model):
    """How often a trial is tried again, by cause of the failure."""

    objective: Count = 0
    timeout: Count = 1
    oom: Count = 1
    worker: Count = 1
    infrastructure: Count = 5


class TrialSpec(Model):
    """How one trial is run."""

    timeout_min: PositiveFloat | None = Field(None, description="a trial that takes longer is ended, cause timeout")
    isolate: bool = Field(False, description="a forked process for each trial")
    recycle_after: PositiveInt = Field(200, description="a fresh child process after so many trials")
    recycle_growth_gb: PositiveFloat = Field(4.0, description="a fresh child process once its memory has grown by so much")
    heartbeat_s: PositiveFloat = Field(5.0, description="seconds between two signs of life of a running trial")


class Keep(Model):
    """What stays in the trials' folders."""

    best: PositiveInt | None = Field(None, description="folders of the best N stay whole; of others results and logs")


class LocalLauncher(Model):
    """Worker processes on this machine."""

    workers: PositiveInt = 1
    mem_gb: PositiveFloat | None = Field(None, description="per worker; a trial that takes more is ended, cause oom")


class NoLauncher(Model):
    """Workers are started by hand: ``hpcho worker EXPERIMENT``."""


class LauncherSpec(Model):
    """Exactly one launcher. ``launcher: local`` in YAML is short for ``launcher: {local: {}}``."""

    local: LocalLauncher | None = None
    none: NoLauncher | None = None


class Experiment(Model):
    """One YAML file."""

    name: str = Field(description="the exp_key: letters, digits, '_', '-', '.', at most 64")
    objective: ObjectiveSpec
    space: dict[str, Any] | None = Field(None, description="the parameters; absent for a hyperas objective")
    sampler: SamplerSpec = SamplerSpec()
    pruner: Literal["none"] = "none"
    budget: Budget = Budget(trials=50)
    retries: Retries = Retries()
    trial: TrialSpec = TrialSpec()
    points: tuple[dict[str, Any], ...] = ()
    keep: Keep = Keep()
    launcher: LauncherSpec = LauncherSpec(local=LocalLauncher())
    store: Literal["auto", "sqlite"] = "auto"
    job_dir: str = "runs"
    group: str | None = None
