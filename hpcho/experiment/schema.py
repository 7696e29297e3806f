"""experiment.yaml as frozen models. Unknown keys are refused; what a key means is said in its description."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from hpcho.experiment import declared
from hpcho.experiment.containers import ContainerSpec
from hpcho.experiment.launchers import LauncherSpec, LocalLauncher, SlurmLauncher, SshLauncher
from hpcho.experiment.model import Model
from hpcho.experiment.options import option_flaws
from hpcho.experiment.pruners import PrunerSpec
from hpcho.experiment.stores import AutoSpec, MongoSpec, StoreSpec
from hpcho.experiment.wording import Flaw, listed, meant, shown
from hpcho.goals import Constraint, Goals, name_flaw

__all__ = [
    "Budget",
    "ContainerSpec",
    "Experiment",
    "Keep",
    "LauncherSpec",
    "LocalLauncher",
    "MongoSpec",
    "ObjectiveSpec",
    "PrunerSpec",
    "Retries",
    "SamplerSpec",
    "SlurmLauncher",
    "SshLauncher",
    "TrialSpec",
    "WarmStart",
    "split_call",
]

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]

BRACES = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")
"""In a command's argument: a doubled brace, a placeholder with its parameter in group 1, or a single brace."""


class ObjectiveSpec(Model):
    """Exactly one of python, hyperas, command."""

    like: ClassVar[str] = "{python: train.py:objective}"
    kinds: ClassVar[tuple[str, ...]] = ("python", "hyperas", "command")

    python: str | None = Field(None, description="FILE.py:FUNCTION beside the YAML, or package.module:FUNCTION")
    data: str | None = Field(
        None, description="like python: called once per worker process; its value is the 2nd argument"
    )
    hyperas: str | None = Field(None, description="a classic hyperas file with data() and create_model()")
    # Lists are what YAML and JSON have for tuples: strictness ends there.
    command: tuple[str, ...] | None = Field(
        None, strict=False, min_length=1, description="argv with {param} placeholders"
    )

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Not exactly one objective, ``data`` without python, and a text that names no function."""
        given = [kind for kind in cls.kinds if data.get(kind) is not None]
        is_misspelt = not given and any(key not in cls.model_fields for key in data)
        if len(given) != 1 and not is_misspelt:
            found = listed(given, "and") if given else "none"
            yield Flaw((), f"needs exactly one of {listed(cls.kinds)}, and has {found}")
        if data.get("data") is not None and given and "python" not in given:
            yield Flaw(("data",), f"belongs to a python objective: remove it from this {given[0]} one", at_key=True)
        for key in ("python", "data"):
            text = data.get(key)
            if isinstance(text, str) and split_call(text) is None:
                form = f"{text}:FUNCTION" if text.endswith(".py") else "FILE.py:FUNCTION or package.module:FUNCTION"
                yield Flaw((key,), f"must name a function: write {form}, not {shown(text)}")


def split_call(text: str) -> tuple[str, str] | None:
    """``train.py:objective`` or ``package.module:objective`` in its two parts; None when it is neither."""
    place, colon, function = text.rpartition(":")
    is_module = all(part.isidentifier() for part in place.split("."))
    is_file = place.endswith(".py") and place != ".py"
    is_function = all(part.isidentifier() for part in function.split("."))
    return (place, function) if colon and is_function and (is_module or is_file) else None


class SamplerSpec(Model):
    """A sampler's name, its seed (drawn and recorded when absent) and its own options."""

    like: ClassVar[str] = "{name: tpe, seed: 42}"

    name: Literal[
        "auto",
        "tpe",
        "anneal",
        "random",
        "atpe",
        "optuna:CmaEsSampler",
        "optuna:GPSampler",
        "optuna:NSGAIISampler",
        "optuna:QMCSampler",
        "optuna:RandomSampler",
        "optuna:TPESampler",
    ] = "auto"
    seed: Count | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="further keys beside name and seed land here")

    @classmethod
    def read(cls, data: Any) -> Any:
        """``tpe`` is short for ``{name: tpe}``; further keys are the sampler's options."""
        if isinstance(data, str):
            return {"name": data}
        if not isinstance(data, Mapping) or not isinstance(data.get("options", {}), Mapping):
            return data
        options = {key: value for key, value in data.items() if key not in cls.model_fields}
        return {key: value for key, value in data.items() if key not in options} | {
            "options": {**data.get("options", {}), **options}
        }

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Options that the sampler does not have, and their values."""
        if isinstance(data.get("options"), Mapping):
            yield from option_flaws(data.get("name", "auto"), data["options"])


class WarmStart(Model):
    """Another experiment whose trials are what the search begins with.

    In short ``old.yaml`` or ``runs/old``, an experiment's YAML file or job directory.
    """

    like: ClassVar[str] = "{experiment: old.yaml}"

    experiment: str | None = Field(
        None, min_length=1, description="its YAML file or job directory, from this file's folder on"
    )
    url: str | None = Field(None, description="a database that has it: mongodb://user@host:port/name")
    exp_key: str | None = Field(None, min_length=1, description="what it is called in the database")
    password_file: str | None = Field(None, min_length=1, description="a file with the database's password in it")

    @classmethod
    def read(cls, data: Any) -> Any:
        """``old.yaml`` is short for ``{experiment: old.yaml}``, and a URL for ``{url: ...}``."""
        return {"url" if "://" in data else "experiment": data} if isinstance(data, str) else data

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Not exactly one place, and what belongs to the other."""
        given = [key for key in ("experiment", "url") if data.get(key) is not None]
        if len(given) != 1 and set(data) <= set(cls.model_fields):
            yield Flaw((), f"needs exactly one of experiment and url, and has {listed(given, 'and') or 'none'}")
        elif given == ["url"] and data.get("exp_key") is None:
            yield Flaw((), f"needs the experiment's name there: write {{url: {shown(data['url'])}, exp_key: KEY}}")
        for key in ("exp_key", "password_file"):
            if data.get(key) is not None and given == ["experiment"]:
                yield Flaw((key,), "belongs to a url: mongodb://user@host:port/name", at_key=True)

    @property
    def place(self) -> str:
        """What the YAML calls it."""
        return self.experiment or f"{self.exp_key} in {self.url}"


class Budget(Model):
    """When a run ends: the first one met."""

    like: ClassVar[str] = "{trials: 50}"

    trials: PositiveInt | None = Field(None, description="successful trials wanted")
    hours: PositiveFloat | None = Field(None, description="wall time summed while a controller runs")
    loss: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None, description="end once a trial's loss is this small"
    )
    failures: PositiveInt | None = Field(
        None, description="end after so many failed trials (default: as many as trials)"
    )

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """A budget without a limit."""
        if all(value is None for value in data.values()):
            yield Flaw((), f"needs at least one limit: {listed(tuple(cls.model_fields))}; {{trials: 50}}, say")


class Retries(Model):
    """How often a trial is tried again, by cause of the failure."""

    like: ClassVar[str] = "{timeout: 1}"

    objective: Count = Field(0, description="it raised, or returned no usable loss")
    timeout: Count = Field(1, description="it took longer than trial.timeout_min")
    oom: Count = Field(1, description="it took more memory than there is")
    worker: Count = Field(1, description="its process ended: a segfault, os._exit, sys.exit")
    infrastructure: Count = Field(5, description="node, network, preemption, wall time: not the params' fault")


class TrialSpec(Model):
    """How one trial is run."""

    like: ClassVar[str] = "{timeout_min: 60}"

    timeout_min: PositiveFloat | None = Field(None, description="a trial that takes longer is ended, cause timeout")
    isolate: bool = Field(False, description="a forked process for each trial")
    recycle_after: PositiveInt = Field(200, description="a fresh child process after so many trials")
    recycle_growth_gb: PositiveFloat = Field(
        4.0, description="a fresh child process once its memory has grown by so much"
    )
    heartbeat_s: PositiveFloat = Field(5.0, description="seconds between two signs of life of a running trial")


class Keep(Model):
    """What stays in the trials' folders."""

    like: ClassVar[str] = "{best: 5}"

    best: PositiveInt | None = Field(None, description="folders of the best N stay whole; of others results and logs")


class Experiment(Model):
    """One YAML file."""

    name: str = Field(
        description="letters, digits, '_', '-' and '.', at most 64 of them, and not dots alone",
        pattern=r"^[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*$",
        max_length=64,
    )
    extends: tuple[str, ...] = Field(
        (), strict=False, description="YAML files whose settings hold where this one says nothing"
    )
    objective: ObjectiveSpec = Field(description="what is minimised: {python: train.py:objective}, say")
    space: dict[str, Any] | None = Field(None, description="the parameters; absent for a hyperas objective")
    minimise: tuple[str, ...] = Field(
        ("loss",),
        strict=False,
        min_length=1,
        description="loss, duration_s or numbers that the objective returns; of several there is a Pareto set",
    )
    constraints: tuple[str, ...] = Field(
        (), strict=False, description="limits that the best trial keeps to: params_m < 10, say"
    )
    sampler: SamplerSpec = Field(SamplerSpec(), description="what proposes trials")
    pruner: PrunerSpec = Field(PrunerSpec(), description="what stops trials early")
    budget: Budget = Field(Budget(trials=50), description="when the run ends")
    retries: Retries = Field(Retries(), description="how often a trial is tried again, by cause of the failure")
    trial: TrialSpec = Field(TrialSpec(), description="how one trial is run")
    points: tuple[dict[str, Any], ...] = Field(
        (), strict=False, description="params evaluated first; what a point leaves out is sampled"
    )
    warm_start: tuple[WarmStart, ...] = Field(
        (), strict=False, description="other experiments whose finished trials are what the search begins with"
    )
    keep: Keep = Field(Keep(), description="trial folders and models kept whole (default: all)")
    launcher: LauncherSpec = Field(LauncherSpec(local=LocalLauncher()), description="what starts workers")
    container: ContainerSpec | None = Field(None, description="the Apptainer image that SLURM jobs run workers in")
    store: StoreSpec = Field(StoreSpec(auto=AutoSpec()), description="what keeps trials")
    job_dir: str = Field(
        "runs", min_length=1, description="a folder beside the YAML; <job_dir>/<name>/ holds everything"
    )
    group: str | None = Field(
        None, min_length=1, description="the job directory is opened to this group; it is 0700 without"
    )

    @property
    def mongo(self) -> MongoSpec | None:
        """The MongoDB that keeps the trials; None where sqlite does."""
        if self.store.auto is not None:
            return None if self.launcher.local is not None else MongoSpec()
        return self.store.mongo

    @property
    def goals(self) -> Goals:
        """What the search is after."""
        return Goals.read(self.minimise, self.constraints)

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """What two sections say against each other, and all of the space."""
        objective, space = data.get("objective"), data.get("space")
        yield from _goal_flaws(data)
        if isinstance(objective, Mapping):
            yield from _space_belongs(objective, space)
        yield from _sqlite_is_near(data.get("launcher"), data.get("store"))
        yield from _container_lasts(data.get("launcher"), data.get("container"))
        if isinstance(space, Mapping):
            reading = declared.read(space)
            yield from (flaw.below("space") for flaw in reading.flaws)
            if isinstance(objective, Mapping) and isinstance(objective.get("command"), (list, tuple)):
                yield from _unknown_placeholders(objective["command"], reading.names)


def _goal_flaws(data: Mapping[str, Any]) -> Iterator[Flaw]:
    """Goals that are none, and what looks at losses alone beside others."""
    given = (data.get(key) for key in ("minimise", "constraints"))
    names, limits = (list(value) if isinstance(value, (list, tuple)) else [] for value in given)
    for index, name in enumerate(names):
        if isinstance(name, str) and (message := name_flaw(name)):
            yield Flaw(("minimise", index), f"{message}, not {shown(name)}")
        elif name in names[:index]:
            yield Flaw(("minimise", index), f"{shown(name)} is there already: remove it")
    for index, text in enumerate(limits):
        if isinstance(text, str):
            try:
                Constraint.read(text)
            except ValueError as error:
                yield Flaw(("constraints", index), f"{error} (it is {shown(text)})")
    pruner = PrunerSpec.read(data.get("pruner"))
    if names not in ([], ["loss"]):
        others = "others would be judged by it, too"
        if isinstance(pruner, Mapping) and pruner.get("name", "none") != "none":
            yield Flaw(("pruner",), f"knows the loss alone, and {others}: remove it, or write `minimise: [loss]`")
        if data.get("warm_start"):
            yield Flaw(("warm_start",), f"brings the loss alone, and {others}: remove it, or write `minimise: [loss]`")


def _sqlite_is_near(launcher: Any, store: Any) -> Iterator[Flaw]:
    """sqlite serves the processes of one machine."""
    launcher, store = LauncherSpec.read(launcher), StoreSpec.read(store)
    is_sqlite = isinstance(store, Mapping) and store.get("sqlite") is not None
    far = [name for name in ("slurm", "ssh") if isinstance(launcher, Mapping) and launcher.get(name) is not None]
    if is_sqlite and far:
        why = "sqlite files get damaged when several machines use them"
        yield Flaw(("store",), f"must be mongo with the {far[0]} launcher, or left out: {why}")


def _container_lasts(launcher: Any, container: Any) -> Iterator[Flaw]:
    """An image is there as long as the process that it was started for."""
    launcher = LauncherSpec.read(launcher)
    if container is not None and isinstance(launcher, Mapping) and launcher.get("ssh") is not None:
        yield Flaw(
            ("container",),
            "does not go with the ssh launcher: its workers outlive the connection that starts them, and an image does "
            "not. Install hpcho on the hosts, and name its Python in launcher.ssh.python",
            at_key=True,
        )


def _space_belongs(objective: Mapping[str, Any], space: Any) -> Iterator[Flaw]:
    """A hyperas objective brings its own space; the others need one."""
    if objective.get("hyperas") is not None:
        if space is not None:
            yield Flaw(("space",), "must be removed: a hyperas objective's templates are its space", at_key=True)
    elif space is None and any(objective.get(kind) is not None for kind in ("python", "command")):
        yield Flaw(("space",), "is required: the parameters, such as {lr: {float: [1e-5, 1e-1], log: true}}")


def _unknown_placeholders(command: Any, names: frozenset[str]) -> Iterator[Flaw]:
    for index, word in enumerate(command):
        for found in BRACES.finditer(word) if isinstance(word, str) else ():
            path, name = ("objective", "command", index), found[1]
            if found[0] in ("{", "}"):
                message = f"{word} has a single {found[0]}: write {found[0] * 2} for a brace, {{name}} for a parameter"
                yield Flaw(path, message, offset=found.start())
            elif name is not None and name not in names:
                hint = meant(name, names) or f"; they are {listed(sorted(names), 'and')}"
                yield Flaw(path, f"{{{name}}} is no parameter of the space{hint}", offset=found.start())
