"""``hpcho check``: what will be run, before anything is."""

import contextlib
import json
import random
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcho.cli import launching
from hpcho.cli.arguments import ExperimentPath, Settings
from hpcho.cli.output import number, say, seconds, table, warn
from hpcho.cli.typed import Typed
from hpcho.errors import ExperimentError, LauncherError, RunFailed, SpaceError
from hpcho.jobdir import JobDir
from hpcho.opening import Opened, open_experiment
from hpcho.trial import Draft, TrialState

if TYPE_CHECKING:
    from hpcho.experiment import Experiment
    from hpcho.space import Parameter
    from hpcho.trial import Trial, Vals

__all__ = ["check", "check_points"]

FIRST_SEED = 0
"""Samples are drawn with this seed: the same command shows the same ones."""


def check(
    experiment: ExperimentPath,
    settings: Settings = None,
    samples: Annotated[int, typer.Option("--samples", min=0, metavar="N", help="How many sample params to show.")] = 3,
    trial: Annotated[bool, typer.Option("--trial", help="Evaluate one trial here, in a scratch folder.")] = False,
) -> None:
    """Validate the experiment and show what would be run."""
    from hpcho import controller, objective, samplers  # noqa: PLC0415 - heavy: `hpcho --help` does without
    from hpcho.cli.knowledge import gathered  # noqa: PLC0415 - as above
    from hpcho.cli.knowledge import words as knowledge_words  # noqa: PLC0415 - as above

    opened = open_experiment(experiment, settings or [])
    check_points(opened)
    launching.check_container(opened)
    objective.load(opened.spec, opened.folder)
    local = opened.experiment.launcher.local
    samplers.check_workers(opened.experiment.sampler.name, local.workers if local else 2)
    samplers.build(opened.experiment.sampler, opened.space)
    knowledge = gathered(opened)
    if opened.record is not None:
        for note in controller.prepare(opened.experiment, opened.space, experiment, opened.jobdir).notes:
            warn(note)
    say(f"{opened.experiment.name}: nothing is wrong with {experiment}\n")
    say(_plan(opened, Typed(experiment, tuple(settings or ()), opened.jobdir)))
    for text in (*_taken(opened), _space_table(opened), *knowledge_words(knowledge)):
        say("\n" + text)
    if (script := launching.script(opened)) is not None:
        say("\nThe job that SLURM gets:\n" + textwrap.indent(script.rstrip(), "  "))
    if (python := launching.python_script(opened)) is not None:
        say("\nPython there, in the image:\n" + textwrap.indent(python.rstrip(), "  "))
    if samples:
        say("\nSample params:")
    for vals in _samples(opened, samples):
        say("  " + json.dumps(opened.space.decode(vals), default=str))
    if trial:
        # The files as they are now, even where a run goes on with its own copy of earlier ones.
        _try(open_experiment(experiment, settings or [], fresh=True), experiment)


def check_points(opened: Opened) -> None:
    """Raises ExperimentError for ``points:`` that are not in the space, with the place of each."""
    problems = []
    for i, point in enumerate(opened.experiment.points):
        try:
            opened.space.encode(point, random.Random(FIRST_SEED))
        except SpaceError as error:
            problems.append(opened.source.problem(("points", i, *error.path), error.message))
    if problems:
        raise ExperimentError(problems)


def _samples(opened: Opened, n: int) -> Sequence["Vals"]:
    """The points of the YAML come first, as they do in a run; then random ones."""
    rng = random.Random(FIRST_SEED)
    given = [opened.space.encode(point, rng) for point in opened.experiment.points[:n]]
    return given + [opened.space.sample(rng) for _ in range(n - len(given))]


def _plan(opened: Opened, typed: Typed) -> str:
    experiment = opened.experiment
    seed = experiment.sampler.seed
    runs = opened.record
    lines = [
        ("objective", _objective(experiment)),
        ("sampler", f"{experiment.sampler.name}, seed {seed if seed is not None else 'drawn at the first run'}"),
        *((("pruner", _pruner(experiment)),) if experiment.pruner.name != "none" else ()),
        *_goals(experiment),
        ("budget", ", ".join(f"{key} {number(value)}" for key, value in experiment.budget if value is not None)),
        ("workers", launching.words(experiment, typed.path, typed.place)),
        *((("image", words),) if (words := launching.image_words(experiment)) else ()),
        ("folder", f"{opened.jobdir.path} ({'there was a run: `hpcho run` resumes it' if runs else 'no run yet'})"),
    ]
    width = max(len(key) for key, _ in lines)
    return "\n".join(f"  {key:<{width}}  {value}" for key, value in lines)


def _goals(experiment: "Experiment") -> list[tuple[str, str]]:
    """What is minimised where that is not the loss alone, and the constraints."""
    goals = experiment.goals
    lines = [] if goals.is_loss_alone else [("minimise", ", ".join(goals.minimise))]
    if goals.are_several and experiment.sampler.name != "auto":
        first = "none of them" if experiment.sampler.name == "random" else goals.minimise[0]
        lines = [("minimise", f"{lines[0][1]}; sampler {experiment.sampler.name} looks at {first}, `auto` at all")]
    return lines + [("constraints", ", ".join(map(str, goals.constraints)))] * bool(goals.constraints)


def _pruner(experiment: "Experiment") -> str:
    """When trials are looked at, and what becomes of them; only an objective that reports can be pruned."""
    spec = experiment.pruner
    grace, factor = spec.grace, spec.factor
    steps = f"{grace}, {grace * factor}, {grace * factor**2}, ..."
    if spec.name == "median":
        words = f"median, from step {grace} on and once {spec.startup} trials are done"
    elif spec.name == "asha":
        words = f"asha, the best in {factor} goes on at steps {steps}"
    else:
        words = f"hyperband, the best in {factor} goes on at steps {steps}, or from a later one of these on"
    needs = "; prunes nothing: a hyperas objective reports no steps" if experiment.objective.hyperas else ""
    return words + (f", up to {spec.max_steps}" if spec.max_steps else "") + needs


def _taken(opened: Opened) -> Sequence[str]:
    """For each file that the YAML extends, what holds because it says so."""
    from hpcho.experiment.wording import dotted, shown  # noqa: PLC0415 - as in check

    texts = []
    for file, values in opened.source.taken().items():
        rows = [[f"  {dotted(path)}", shown(value)] for path, value in values]
        texts.append(table([f"  from {file}", ""], rows or [["  nothing: nearer files say it all", ""]]))
    return texts


def _objective(experiment: "Experiment") -> str:
    spec = experiment.objective
    if spec.command:
        return f"command {' '.join(spec.command)}"
    if spec.hyperas:
        return f"hyperas {spec.hyperas}"
    return f"python {spec.python}" + (f", data {spec.data}" if spec.data else "")


def _space_table(opened: Opened) -> str:
    parameters = opened.space.parameters
    by_label = {parameter.label: parameter for parameter in parameters}
    rows = [
        [f"  {parameter.name}", parameter.kind, _values(parameter), _condition(parameter, by_label)]
        for parameter in parameters
    ]
    return table(["  parameter", "kind", "values", ""], rows)


def _values(parameter: "Parameter") -> str:
    if parameter.kind == "choice":
        return " | ".join(number(option) for option in parameter.options)
    if parameter.kind == "other":
        return "structured"
    low = "" if parameter.low is None else f"{number(parameter.low)} "
    high = "" if parameter.high is None else f" {number(parameter.high)}"
    step = f", step {number(parameter.step)}" if parameter.step not in (None, 1) else ""
    return f"{low}..{high}{step}{', log' if parameter.log else ''}"


def _condition(parameter: "Parameter", by_label: Mapping[str, "Parameter"]) -> str:
    """When the parameter exists, where that is not always."""
    if parameter.parent is None:
        return ""
    label, index = parameter.parent
    choice = by_label.get(label)
    if choice is None or index >= len(choice.options):
        return f"only with option {index} of {label}"
    return f"only with {choice.name} = {number(choice.options[index])}"


def _try(opened: Opened, path: Path) -> None:
    """Evaluate the first sample with a real worker, on a copy of everything that is thrown away. Raises RunFailed."""
    from hpcho import controller  # noqa: PLC0415 - as in check
    from hpcho.store import open_store  # noqa: PLC0415 - as in check

    (vals,) = _samples(opened, 1)
    say("\nOne trial: " + json.dumps(opened.space.decode(vals), default=str))
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="hpcho-check-") as scratch:
        jobdir = JobDir(Path(scratch) / opened.experiment.name)
        controller.prepare(_for_trial(opened.experiment), opened.space, path, jobdir)
        with contextlib.closing(open_store(jobdir)) as store:
            store.add([Draft(vals)])
            worker = [sys.executable, "-m", "hpcho.worker", str(jobdir.path), "--max-trials", "1", "--idle-exit", "5"]
            code = subprocess.run(worker, check=False, stdin=subprocess.DEVNULL).returncode
            (done,) = store.changes()[1]
        _show(done, jobdir.trial(done.tid), code)
        if done.is_ok and (words := opened.experiment.goals.shortfalls(done)):
            say(f"  infeasible: {'; '.join(words)}")


def _for_trial(experiment: "Experiment") -> "Experiment":
    """The experiment without a second attempt at anything, for its owner alone, here and without a server."""
    from hpcho.experiment.schema import LauncherSpec, LocalLauncher  # noqa: PLC0415 - as in check
    from hpcho.experiment.stores import SqliteSpec, StoreSpec  # noqa: PLC0415 - as in check

    once = experiment.retries.model_copy(update=dict.fromkeys(type(experiment.retries).model_fields, 0))
    # sqlite goes with no launcher but the local one, whoever reads the experiment again.
    alone = {"launcher": LauncherSpec(local=LocalLauncher()), "store": StoreSpec(sqlite=SqliteSpec())}
    return experiment.model_copy(update={"retries": once, "group": None, **alone})


def _show(trial: "Trial", folder: Path, code: int) -> None:
    for name in ("stdout", "stderr"):
        file = folder / f"{name}.log"
        text = file.read_text(encoding="utf-8", errors="replace").rstrip() if file.exists() else ""
        if text:
            say(f"  its {name}:\n" + "\n".join(f"    {line}" for line in text.splitlines()))
    if trial.state is TrialState.DONE and trial.result is not None:
        loss = "no loss (status fail)" if trial.loss is None else f"loss {number(trial.loss)}"
        kept = f", attachments {', '.join(trial.result.attachments)}" if trial.result.attachments else ""
        say(f"  {loss} after {seconds(trial.duration_s)}{kept}")
    elif trial.attempts:
        raise RunFailed(f"the trial failed (cause: {trial.cause}):\n{(trial.error or '').rstrip()}")
    else:
        raise LauncherError(f"the worker left with exit code {code} and did not evaluate the trial")
