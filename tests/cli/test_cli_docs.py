"""The papers say what the code does."""

import re
from pathlib import Path

import pytest
from commands_page import COMMANDS, page

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/experiment.yaml"))


def blocks(file, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text(encoding="utf-8"), re.DOTALL)


def test_the_commands_page_is_what_help_says():
    assert (ROOT / "docs/commands.md").read_text(encoding="utf-8") == page(), "out of date: `make docs` writes it"


def test_the_commands_page_has_every_command():
    from typer.main import get_command

    from hpcho.cli.app import app

    assert set(get_command(app).commands) == set(COMMANDS)


@pytest.mark.parametrize("file", ["README.md", "docs/experiment.md", "docs/slurm.md", "docs/cluster.md", "docs/ssh.md"])
def test_experiments_in_the_papers_load(file, tmp_path):
    import hpcho.experiment

    (tmp_path / "train.py").write_text("def objective(params, data): ...\ndef data(): ...\n")
    (tmp_path / "cluster.yaml").write_text((ROOT / "slurm/profiles/gres.yaml").read_text())
    found = blocks(file, "yaml")
    assert found
    for text in found:
        (tmp_path / "experiment.yaml").write_text(text)
        experiment, _ = hpcho.experiment.load(tmp_path / "experiment.yaml")
        assert experiment.name == "mnist"


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_have_no_mistakes(example, hpcho):
    done = hpcho("check", ROOT / "examples" / example / "experiment.yaml")
    assert done.returncode == 0, done.stderr


def test_every_link_in_the_papers_leads_somewhere():
    papers = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    for paper in papers:
        for target in re.findall(r"\]\(([^)#]+)\)", paper.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (paper.parent / target).exists(), f"{paper.name} links to {target}"


def test_decisions_are_numbered_without_gaps_and_short():
    files = sorted(ROOT.glob("docs/decisions/[0-9]*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(file.name[:4])}. ")
        assert len(text.splitlines()) <= 30
