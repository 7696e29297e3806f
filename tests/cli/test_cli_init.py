"""init, and what it writes."""

import pytest

TEMPLATES = ("python", "command", "hyperas", "slurm")


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_an_experiment_without_mistakes(hpcho, tmp_path, template):
    done = hpcho("init", "my search", "--template", template)
    assert done.returncode == 0, done.stderr
    assert "hpcho run my search/experiment.yaml" in done.stdout.replace("'", "")
    checked = hpcho("check", "my search/experiment.yaml")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.slow
@pytest.mark.parametrize("template", ["python", "command"])
def test_a_template_runs_to_its_end(hpcho, tmp_path, template):
    hpcho("init", "first", "--template", template)
    done = hpcho("run", "first/experiment.yaml")
    assert done.returncode == 0, done.stderr
    assert hpcho("best", "first/experiment.yaml").returncode == 0


def test_the_slurm_template_shows_the_job_and_is_the_python_one_otherwise(hpcho, tmp_path):
    assert "hpcho doctor first/experiment.yaml" in hpcho("init", "first", "--template", "slurm").stdout
    hpcho("init", "other")
    assert (tmp_path / "first" / "train.py").read_text() == (tmp_path / "other" / "train.py").read_text()
    assert "#SBATCH --array=0-3%4" in hpcho("check", "first/experiment.yaml").stdout


def test_init_overwrites_nothing(hpcho, tmp_path):
    (tmp_path / "train.py").write_text("mine")
    done = hpcho("init", ".")
    assert done.returncode == 2
    assert "train.py: already there, and nothing was written" in done.stderr
    assert (tmp_path / "train.py").read_text() == "mine"
    assert not (tmp_path / "experiment.yaml").exists()


def test_init_refuses_a_file_as_folder(hpcho, tmp_path):
    (tmp_path / "file").write_text("")
    done = hpcho("init", "file")
    assert done.returncode == 2
    assert "file is a file; name a folder" in done.stderr


def test_an_unknown_template_is_answered_with_the_known_ones(hpcho):
    done = hpcho("init", "x", "--template", "ssh")
    assert done.returncode == 2
    assert all(template in done.stderr for template in TEMPLATES)
