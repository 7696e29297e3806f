"""warm_start: what is taken of other experiments, and what is said of it."""

import pytest

from hpcho.errors import ExperimentError
from hpcho.opening import open_experiment
from hpcho.opening.warm_start import gather

SGD = {"units": 32, "optimizer": "sgd", "momentum": 0.25}


@pytest.fixture
def source(bench, tmp_path):
    """Another experiment, with a wider space."""
    (tmp_path / "old").mkdir()
    made = type(bench)(tmp_path / "old")
    made.write(made.yaml.read_text().replace("[-5, 5]", "[-9, 9]"))
    return made


@pytest.fixture
def ran(source):
    """It has been run: two trials of use here, one outside, one that says fail, one in error, one new."""
    source.finish({"x": 1.0, "units": 16, "optimizer": "adam"}, 4.0)
    source.finish({"x": 2.0, **SGD}, 3.0)
    source.finish({"x": 7.0, **SGD}, 1.0)
    source.finish({"x": 1.0, **SGD}, None, status="fail")
    source.fail({"x": 2.0, **SGD})
    source.add({"x": 1.0, **SGD})
    return source


def add(bench, text):
    bench.yaml.write_text(bench.yaml.read_text() + f"warm_start: {text}\n")


def begin_with(bench, *sources):
    add(bench, f"[{', '.join(sources)}]")
    return gather(open_experiment(bench.yaml))


def problem(bench, *sources):
    with pytest.raises(ExperimentError) as caught:
        begin_with(bench, *sources)
    return str(caught.value)


@pytest.mark.parametrize("place", ["old/experiment.yaml", "old/runs/lab", "{experiment: old/runs/lab}"])
def test_finished_trials_of_a_yaml_or_a_job_directory_are_taken(bench, ran, place):
    (knowledge,) = begin_with(bench, place)
    space = open_experiment(bench.yaml).space
    assert [(space.decode(vals), loss) for vals, loss in knowledge.points] == [
        ({"x": 1.0, "units": 16, "optimizer": "adam"}, 4.0),
        ({"x": 2.0, **SGD}, 3.0),
    ]
    assert knowledge.total == 6
    assert knowledge.unused == {"with x outside this space": 1, "without a loss": 1, "failed": 1, "unfinished": 1}


def test_an_absolute_path_is_one_and_several_are_taken_in_order(bench, ran, tmp_path):
    found = begin_with(bench, "old/runs/lab", str(tmp_path / "old" / "experiment.yaml"))
    assert [source.place for source in found] == ["old/runs/lab", str(tmp_path / "old" / "experiment.yaml")]


def test_check_says_what_is_used(bench, ran, hpcho):
    begin_with(bench, "old/runs/lab")
    done = hpcho("check", bench.yaml)
    assert done.returncode == 0, done.stderr
    assert "warm_start: 2 of 6 trials of old/runs/lab are used; not used: 1 with x outside this space" in done.stdout


def test_a_source_without_finished_trials_is_a_warning(bench, source, hpcho):
    source.add({"x": 1.0, **SGD})
    begin_with(bench, "old/runs/lab")
    done = hpcho("check", bench.yaml)
    assert done.returncode == 0, done.stderr
    assert "hpcho: warning: warm_start: old/runs/lab has nothing to begin with: 1 unfinished" in done.stderr


def test_random_search_is_warned_of(bench, ran, hpcho):
    begin_with(bench, "old/runs/lab")
    assert "warm_start: sampler random looks at no trials" in hpcho("check", bench.yaml).stderr
    assert "warning" not in hpcho("check", bench.yaml, "--set", "sampler=tpe").stderr


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("olt/experiment.yaml", "there is no experiment olt/experiment.yaml: no such file or folder"),
        ("old/experiment.yaml", "no run yet: `hpcho run"),
        ("old", "not a job directory (it has no experiment.json); name the experiment's YAML file"),
        ("experiment.yaml", "experiment.yaml is this experiment itself."),
        ("{url: 'mongodb://h:p@h/jobs', exp_key: a}", "must hold no password"),
        ("{url: 'mongodb://h', exp_key: a}", "names no database"),
    ],
)
def test_a_source_that_cannot_be_used_is_told_with_its_place(bench, source, place, why):
    line = len(bench.yaml.read_text().splitlines()) + 1
    said = problem(bench, place)
    assert said.startswith(f"{bench.yaml}:{line}:14: warm_start.0: ")
    assert why in said


def test_the_job_directory_of_this_experiment_is_this_experiment(bench):
    bench.make_job_dir()
    assert (
        "runs/lab is this experiment itself. An earlier run that `--fresh` has set aside can be named: lab~<time>"
        in (problem(bench, "runs/lab"))
    )


def test_all_that_cannot_be_used_are_told_at_once(bench, source):
    assert len(problem(bench, "nothing", "neither").splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("old.yaml", 'must be a list, not "old.yaml"; write [old.yaml]'),
        ("['mongodb://h/jobs']", 'needs the experiment\'s name there: write {url: "mongodb://h/jobs", exp_key: KEY}'),
        ("[{}]", "needs exactly one of experiment and url, and has none"),
        (
            "[{experiment: a, url: 'mongodb://h/d'}]",
            "needs exactly one of experiment and url, and has experiment and url",
        ),
        ("[{experiment: a, exp_key: b}]", "exp_key: belongs to a url: mongodb://user@host:port/name"),
        ("[3]", "must be a mapping like {experiment: old.yaml}, not 3"),
        ("[{from: a}]", 'unknown key "from"; here are experiment, url, exp_key and password_file'),
    ],
)
def test_what_is_no_source_is_told(bench, text, why):
    add(bench, text)
    with pytest.raises(ExperimentError) as caught:
        open_experiment(bench.yaml)
    assert why in str(caught.value)
