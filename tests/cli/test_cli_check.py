"""check."""

import json

import pytest


def test_check_says_what_will_be_run(bench, hpcho):
    done = hpcho("check", bench.yaml)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert text.startswith(f"lab: nothing is wrong with {bench.yaml}\n")
    assert "objective  python train.py:objective" in text
    assert "sampler    random, seed 3" in text
    assert "budget     trials 12" in text
    assert "workers    2 local processes" in text
    assert "(no run yet)" in text
    assert not (bench.folder / "runs").exists()


def test_check_shows_the_space(bench, hpcho):
    text = hpcho("check", bench.yaml).stdout
    assert "units" in text
    assert "8 .. 64, step 8" in text
    assert "momentum" in text
    assert "only with optimizer = sgd" in text


def test_check_shows_as_many_samples_as_asked_and_the_same_ones_each_time(bench, hpcho):
    text = hpcho("check", bench.yaml, "--samples", "4").stdout
    samples = [json.loads(line) for line in text.partition("Sample params:\n")[2].splitlines()]
    assert len(samples) == 4
    assert all(set(sample) >= {"x", "units", "optimizer"} for sample in samples)
    assert text == hpcho("check", bench.yaml, "--samples", "4").stdout
    assert "Sample params" not in hpcho("check", bench.yaml, "--samples", "0").stdout


def test_points_come_first_among_the_samples(bench, hpcho):
    bench.yaml.write_text(bench.yaml.read_text() + "points: [{x: 0.5, units: 24, optimizer: adam}]\n")
    text = hpcho("check", bench.yaml).stdout
    first = json.loads(text.partition("Sample params:\n")[2].splitlines()[0])
    assert first == {"x": 0.5, "units": 24, "optimizer": "adam"}


def test_settings_of_the_command_line_count(bench, hpcho):
    assert "1 local process" in hpcho("check", bench.yaml, "--set", "launcher.local.workers=1").stdout


@pytest.mark.parametrize(
    ("sampler", "says"),
    [
        ("auto", "minimise     loss, duration_s\n"),
        ("tpe", "minimise     loss, duration_s; sampler tpe looks at loss, `auto` at all\n"),
        ("random", "minimise     loss, duration_s; sampler random looks at none of them, `auto` at all\n"),
    ],
)
def test_what_the_sampler_makes_of_several_goals_is_told(bench, hpcho, sampler, says):
    bench.yaml.write_text(bench.yaml.read_text() + "minimise: [loss, duration_s]\nconstraints: ['mb<=1e1', 'n > 2']\n")
    text = hpcho("check", bench.yaml, "--set", f"sampler={sampler}").stdout
    assert says in text
    assert "constraints  mb <= 10, n > 2\n" in text


def test_a_number_that_the_objective_does_not_return_is_told_by_a_trial(bench, hpcho):
    bench.yaml.write_text(bench.yaml.read_text() + "minimise: [loss, size]\nconstraints: ['loss < -1']\n")
    done = hpcho("check", bench.yaml, "--trial")
    assert done.returncode == 0, done.stderr
    assert "  infeasible: no number size; loss < -1 is not kept\n" in done.stdout


def test_every_mistake_is_told_with_its_place(bench, hpcho):
    bench.write('name: lab\nobjective: {python: "train.py:objective"}\nspace: {x: {float: [1, 0]}}\nbudgte: {}\n')
    done = hpcho("check", bench.yaml)
    assert done.returncode == 2
    assert f"{bench.yaml}:4:1: budgte" in done.stderr
    assert "budget" in done.stderr
    assert f"{bench.yaml}:3:" in done.stderr


def test_a_point_outside_the_space_is_told_with_its_place(bench, hpcho):
    bench.yaml.write_text(bench.yaml.read_text() + "points:\n  - {units: 9}\n")
    done = hpcho("check", bench.yaml)
    assert done.returncode == 2
    assert f"{bench.yaml}:12:13: points.0.units: must be 8 plus a multiple of 8" in done.stderr


def test_atpe_with_two_workers_is_refused(bench, hpcho):
    done = hpcho("check", bench.yaml, "--set", "sampler.name=atpe")
    assert done.returncode == 2
    assert "atpe" in done.stderr


def test_a_trial_is_evaluated_by_a_real_worker_and_leaves_nothing(bench, hpcho):
    done = hpcho("check", bench.yaml, "--trial")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training with" in done.stdout
    assert "loss" in done.stdout.splitlines()[-1]
    assert not (bench.folder / "runs").exists()


@pytest.mark.parametrize(
    "launcher", ["{slurm: {workers: 2, partition: gpu, gpus: 1}}", "{ssh: {hosts: hosts}}"], ids=["slurm", "ssh"]
)
def test_a_trial_is_evaluated_here_whatever_launcher_the_workers_will_have(bench, hpcho, launcher):
    (bench.folder / "hosts").write_text("node1\n")
    done = hpcho("check", bench.yaml, "--trial", "--set", f"launcher={launcher}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "loss" in done.stdout.splitlines()[-1]
    assert not (bench.folder / "runs").exists()


@pytest.mark.parametrize(
    ("objective", "cause", "says"),
    [
        ("def objective(params):\n    raise ValueError('bad units')", "objective", "ValueError: bad units"),
        ("def objective(params):\n    return float('nan')", "objective", "nan"),
        ("import os\ndef objective(params):\n    os._exit(3)", "worker", "3"),
        ("import nothere\ndef objective(params):\n    return 1", "objective", "nothere"),
    ],
)
def test_a_trial_that_fails_is_shown_whole_and_exit_1(bench, hpcho, objective, cause, says):
    bench.write(bench.yaml.read_text(), objective)
    done = hpcho("check", bench.yaml, "--trial")
    assert done.returncode == 1
    assert f"failed (cause: {cause})" in done.stderr
    assert says in done.stderr


def test_a_run_that_is_there_is_told_of_and_so_are_edited_files(bench, hpcho):
    bench.make_job_dir()
    assert "`hpcho run` resumes it" in hpcho("check", bench.yaml).stdout
    (bench.folder / "train.py").write_text("def objective(params): return 2")
    done = hpcho("check", bench.yaml)
    assert done.returncode == 0
    assert "warning: edited since the first run: train.py" in done.stderr


def test_a_space_that_a_resume_would_refuse_is_refused(bench, hpcho):
    bench.make_job_dir()
    bench.yaml.write_text(bench.yaml.read_text().replace("[-5, 5]", "[-5, 6]"))
    done = hpcho("check", bench.yaml)
    assert done.returncode == 2
    assert "the search space" in done.stderr
    assert "--fresh" in done.stderr
