"""extends: what a YAML takes from other files, and where a mistake in it is placed."""

import json
from pathlib import Path

import pytest

from hpcho.errors import ExperimentError
from hpcho.experiment import Experiment, load
from hpcho.experiment.extends import merged, read

PLAIN = """\
name: lab
objective: {python: "train.py:objective"}
space: {x: {float: [0, 1]}}
"""
SITE = "launcher: {slurm: {partition: gpu, gpus: 1, options: {account: abc, qos: normal}}}\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files below an empty folder, which is the present one; gives back the path of the first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()

    def write(**files):
        paths = []
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            paths.append(path.relative_to(tmp_path))
        return paths[0]

    return write


def problems(path, *settings):
    with pytest.raises(ExperimentError) as caught:
        load(path, settings)
    return str(caught.value).splitlines()


def test_a_file_gives_what_the_yaml_does_not_say_and_the_yaml_wins(write):
    path = write(x=PLAIN + "extends: site.yaml\nlauncher: {slurm: {workers: 8, gpus: 2}}\n", site=SITE)
    slurm = load(path)[0].launcher.slurm
    assert (slurm.partition, slurm.gpus, slurm.workers) == ("gpu", 2, 8)
    assert slurm.options == {"account": "abc", "qos": "normal"}


def test_options_are_merged_and_a_null_takes_one_away(write):
    more = "launcher: {slurm: {options: {qos: null, constraint: a100}}}\n"
    path = write(x=PLAIN + "extends: site.yaml\n" + more, site=SITE)
    assert load(path)[0].launcher.slurm.options == {"account": "abc", "constraint": "a100"}


def test_the_short_name_of_a_launcher_keeps_what_the_site_says_of_it(write):
    path = write(x=PLAIN + "extends: site.yaml\nlauncher: slurm\n", site=SITE)
    assert load(path)[0].launcher.slurm.partition == "gpu"


@pytest.mark.parametrize(
    ("base", "value", "path", "holds"),
    [
        ({"slurm": {"gpus": 1}}, {"local": {}}, ("launcher",), {"local": {}}),
        ({"slurm": {"gpus": 1}}, "none", ("launcher",), {"none": {}}),
        ({"python": "a.py:f", "data": "a.py:d"}, {"command": ["a"]}, ("objective",), {"command": ["a"]}),
        ({"python": "a.py:f"}, {"data": "a.py:d"}, ("objective",), {"python": "a.py:f", "data": "a.py:d"}),
        ({"mongo": {"port": 1}}, "sqlite", ("store",), {"sqlite": {}}),
        ({"mongo": {"port": 1}}, {"mongo": {"host": "a"}}, ("store",), {"mongo": {"port": 1, "host": "a"}}),
        ({"name": "anneal", "avg_best_idx": 2}, "tpe", ("sampler",), {"name": "tpe"}),
        ({"name": "tpe", "gamma": 1}, {"seed": 3}, ("sampler",), {"name": "tpe", "gamma": 1, "seed": 3}),
        ({"int": [1, 2], "step": 1}, {"float": [0, 1]}, ("space", "x"), {"float": [0, 1]}),
        ({"x": {"int": [1, 2]}}, {"y": {"int": [1, 2]}}, ("space",), {"x": {"int": [1, 2]}, "y": {"int": [1, 2]}}),
        ([1, 2], [3], ("points",), [3]),
    ],
)
def test_another_kind_replaces_and_the_same_kind_is_merged(base, value, path, holds):
    assert merged(base, value, path) == holds


def test_of_several_files_a_later_one_wins_and_files_may_extend_files(write):
    path = write(
        x=PLAIN + "extends: [a.yaml, sites/b.yaml]\n",
        a="budget: {trials: 1, hours: 1}\n",
        sites__b="extends: c.yaml\nbudget: {trials: 2}\n",
        sites__c="budget: {trials: 3, failures: 3}\n",
    )
    budget = load(path)[0].budget
    assert (budget.trials, budget.hours, budget.failures) == (2, 1, 3)


def test_a_mistake_is_placed_in_the_file_it_stands_in(write):
    site = "launcher:\n  slurm:\n    gpus: one\n    setup: [3]\nbudgte: 3\n"
    path = write(x=PLAIN + "extends: site.yaml\nlauncher: {slurm: {cpus: 0}}\n", site=site)
    assert problems(path) == [
        'site.yaml:3:11: launcher.slurm.gpus: must be an integer, not "one"',
        'site.yaml:4:13: launcher.slurm.setup.0: must be a string, not 3; write "3" in quotes',
        "site.yaml:5:1: budgte: unknown key \"budgte\"; did you mean 'budget'?",
        "x.yaml:5:26: launcher.slurm.cpus: must be at least 1, not 0",
    ]


def test_what_is_in_neither_file_is_asked_for_in_the_yaml(write):
    found = problems(write(x="extends: site.yaml\nname: lab\n", site=SITE))
    assert any(problem.startswith("x.yaml:1:1: objective: is required") for problem in found)


def test_a_list_is_one_files_alone(write):
    path = write(x=PLAIN + "extends: site.yaml\npoints: [3]\n", site="points: [{x: 0.5}, {x: 0.25}]\n")
    assert problems(path) == ["x.yaml:5:10: points.0: must be a mapping, not 3"]


def test_settings_of_the_command_line_win_and_are_blamed(write):
    path = write(x=PLAIN + "extends: site.yaml\n", site=SITE)
    assert load(path, ["launcher.slurm.gpus=4"])[0].launcher.slurm.gpus == 4
    assert problems(path, "launcher.slurm.gpus=many")[0].startswith("--set launcher.slurm.gpus=many: must be")
    assert problems(path, "extends=site.yaml") == [
        "--set extends=site.yaml: files to extend are named in the YAML alone: write it there"
    ]


@pytest.mark.parametrize(
    ("extends", "problem"),
    [
        ("sites.yaml", "x.yaml:4:10: extends: there is no file sites.yaml in .; did you mean site.yaml?"),
        ("[site.yaml, 3]", "x.yaml:4:22: extends.1: must be the name of a YAML file, or a list of them, not 3"),
        ("{a: 1}", "x.yaml:4:10: extends: must be the name of a YAML file, or a list of them, not {a: 1}"),
        ("x.yaml", "x.yaml:4:10: extends: goes round in a circle: x.yaml extends x.yaml"),
        ("back.yaml", "back.yaml:1:10: extends: goes round in a circle: x.yaml extends back.yaml extends x.yaml"),
        ("broken.yaml", "broken.yaml:1:2: "),
        ("empty.yaml", "empty.yaml:1:1: is empty: put into it what several experiments share"),
        ("list.yaml", "list.yaml:1:1: must be a mapping"),
        ("twice.yaml", "twice.yaml:2:1: group: this key was given before, in line 1"),
    ],
)
def test_a_file_that_cannot_be_extended_is_told(write, extends, problem):
    path = write(
        x=PLAIN + f"extends: {extends}\n",
        site=SITE,
        back="extends: x.yaml\n",
        broken="a: b: c\n",
        empty="",
        list="[1]\n",
        twice="group: a\ngroup: b\n",
    )
    (found,) = problems(path)
    assert found.startswith(problem.replace("1:2: ", "1:"))


def test_it_says_what_was_taken_from_where(write):
    path = write(
        x=PLAIN + "extends: [a.yaml, b.yaml]\nlauncher: {slurm: {gpus: 2}}\n",
        a="store: {mongo: {port: 1}}\nlauncher: {local: {workers: 3}}\n",
        b=SITE + "group: lab\n",
    )
    taken = load(path, ["group=null"])[1].taken()
    assert {file: dict(values) for file, values in taken.items()} == {
        "b.yaml": {
            ("launcher", "slurm", "partition"): "gpu",
            ("launcher", "slurm", "options", "account"): "abc",
            ("launcher", "slurm", "options", "qos"): "normal",
        },
        "a.yaml": {("store", "mongo", "port"): 1},
    }
    assert load(write(y=PLAIN))[1].taken() == {}


def test_the_whole_experiment_travels_to_workers(write):
    experiment = load(write(x=PLAIN + "extends: site.yaml\n", site=SITE))[0]
    assert experiment.extends == ("site.yaml",)
    again = Experiment.model_validate_json(experiment.model_dump_json())
    assert again == experiment
    assert again.launcher.slurm.partition == "gpu"


def test_the_job_directory_keeps_the_files_and_the_merged_settings(write, tmp_path):
    from hpcho import controller, space
    from hpcho.jobdir import JobDir

    site = "extends: deeper/site.yaml\njob_dir: elsewhere\n"
    path = write(x=PLAIN + "extends: site.yaml\n", site=site, deeper__site=SITE)
    experiment, _ = load(path)
    jobdir = JobDir(tmp_path / experiment.job_dir / experiment.name)
    controller.prepare(experiment, space.build(experiment.space), path, jobdir)
    assert (jobdir.path / "experiment.yaml").read_text() == path.read_text()
    assert (jobdir.path / "extends" / "site.yaml").read_text() == site
    assert (jobdir.path / "extends" / "site-2.yaml").read_text() == SITE
    assert json.loads(jobdir.record_file.read_text())["experiment"]["launcher"]["slurm"]["gpus"] == 1


def test_the_job_directory_is_found_where_an_extended_file_puts_it(write, tmp_path):
    from hpcho.opening import find_job_dir

    path = write(x=PLAIN + "extends: site.yaml\n", site="job_dir: elsewhere\n")
    assert find_job_dir(path).path == tmp_path / "elsewhere" / "lab"


def test_names_of_extended_files_stay_with_the_value(write):
    path = write(x=PLAIN + "extends: site.yaml\n", site="group: lab\nextends: b.yaml\n", b="keep: {best: 1}\n")
    data, source, found = read(path)
    assert data["extends"] == ["site.yaml"]
    assert [base.file for base in source.bases] == ["site.yaml", "b.yaml"]
    assert found == []


ROOT = Path(__file__).parents[2]
PROFILES = sorted((ROOT / "slurm" / "profiles").glob("*.yaml"))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_a_profile_can_be_extended(write, profile):
    path = write(x=PLAIN + f"extends: {profile}\nlauncher: {{slurm: {{workers: 3}}}}\n")
    experiment, source = load(path)
    assert experiment.launcher.slurm.workers == 3
    assert experiment.launcher.slurm.partition
    assert source.taken()[str(profile)]
    assert profile.read_text().startswith("# ")


def test_every_profile_is_in_the_list():
    readme = (ROOT / "slurm" / "profiles" / "README.md").read_text()
    assert [name for name in PROFILES if f"({name.name})" not in readme] == []
    assert len(PROFILES) >= 6
