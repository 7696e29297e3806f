"""What stands in README.md and the docs works. fences.py says, of each block, how that is known.

Not everything is typed here. What needs a cluster, a server or torch is in `fences.NEEDED_ELSEWHERE` and, block by
block, in `fences.TABLE`, each with the reason and, where there is one, the test that does the same. Of howto/pytorch.md
that is the run of the file that imports torch: its one wheel for Linux is 555 MB and wants gigabytes of CUDA beside it.
"""

import re

import pytest
from fences import (
    BROUGHT,
    NEEDED_ELSEWHERE,
    TABLE,
    TRAINING,
    Elsewhere,
    Objective,
    by_kind,
    inline_calls,
    key_of,
    treatment,
)
from pages import BLOCK, MADE, PAGES, ROOT, WRITTEN, blocks, hpcho_calls, name
from reference_pages import PAGES as REFERENCE
from typing_pages import is_typed, shell, type_page

__all__ = ["shell"]

BLOCKS = [block for page in WRITTEN for block in blocks(page)]
PAGES_TYPED = [p for p in WRITTEN if any(is_typed(b) and b.needs not in TRAINING for b in blocks(p))]
SMALL = {
    "name": "small",
    "objective": '{python: "train.py:objective"}',
    "space": "{lr: {float: [1e-5, 1e-1], log: true}}",
}
"""What an experiment cannot be without, for YAML that shows a part of one."""
BESIDE = {
    "train.py": "def objective(params): ...\ndef data(): ...\n",
    "optimise_task.py": "",
    "cluster.yaml": "launcher: {slurm: {partition: gpu}}\n",
    "hosts.txt": "node1\n",
    "db-password": "secret",
}
"""The files that the pages' YAML names."""
LAUNCHER_S_OWN = ("--python",)
"""Options of containers/hpcho, which starts an image, and not of hpcho."""


def ids(block):
    return f"{block.page}: {block.first[:40]}"


def test_every_block_is_accounted_for():
    unknown = [ids(block) for block in BLOCKS if not by_kind(block) and treatment(block) is None]
    assert not unknown, "tests/docs/fences.py does not say what becomes of these blocks: add each to its table"


def test_no_block_is_missed():
    for page in PAGES:
        fences = re.findall(r"^ *(?:```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(BLOCK.findall(page.read_text(encoding="utf-8"))), name(page)


def test_each_entry_of_the_table_means_one_block():
    meant = [key_of(block) for block in BLOCKS if treatment(block) is not None]
    assert sorted(meant) == sorted(TABLE)


@pytest.mark.parametrize("test", sorted({said.test for said in TABLE.values() if isinstance(said, Elsewhere)}))
def test_a_test_that_is_named_is_there(test):
    file, _, function = test.partition("::")
    assert f"\ndef {function}(" in (ROOT / file).read_text(encoding="utf-8")


def test_what_is_not_typed_is_listed_and_nothing_else_is_left_out():
    asked = {(block.page, block.needs) for block in BLOCKS if block.needs not in (None, *TRAINING, *BROUGHT)}
    assert asked == set(NEEDED_ELSEWHERE), "what the extra dev brings is typed; the rest is listed with its reason"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_TYPED, ids=name)
def test_what_a_page_says_to_type_works(page, tmp_path, shell):
    type_page(page, tmp_path / "page", shell)


@pytest.mark.keras
@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in WRITTEN if any(b.needs in TRAINING for b in blocks(p))], ids=name)
def test_what_a_page_says_to_type_works_with_keras(page, tmp_path, shell):
    pytest.importorskip("keras", reason="needs keras")
    type_page(page, tmp_path / "page", shell, trains=True)


def run_objective(block, folder, shell):
    """Train by a block that is the half of a file."""
    said = treatment(block)
    experiment = said.experiment or next(b.text for b in BLOCKS if b.page == block.page and b.kind == "yaml")
    folder.mkdir()
    (folder / "train.py").write_text(said.before + block.text)
    (folder / "experiment.yaml").write_text(experiment)
    shell.type("hpcho run experiment.yaml --set budget.trials=2 --set launcher.local.workers=1", folder)


def objectives(*, keras):
    return [b for b in BLOCKS if isinstance(treatment(b), Objective) and treatment(b).keras == keras]


@pytest.mark.slow
@pytest.mark.parametrize("block", objectives(keras=False), ids=ids)
def test_an_objective_that_is_shown_runs(block, tmp_path, shell):
    run_objective(block, tmp_path / "page", shell)


@pytest.mark.keras
@pytest.mark.slow
@pytest.mark.parametrize("block", objectives(keras=True), ids=ids)
def test_an_objective_that_is_shown_trains(block, tmp_path, shell):
    pytest.importorskip("keras", reason="needs keras")
    run_objective(block, tmp_path / "page", shell)


@pytest.fixture(scope="module")
def commands():
    from typer.main import get_command

    from hpcho.cli.app import app

    return get_command(app)


def parse(commands, words):
    """Read a call by hpcho's own parser, and run nothing."""
    if words and not words[0].startswith("-"):
        assert words[0] in commands.commands, f"there is no command {words[0]}"
        commands.commands[words[0]].make_context(words[0], list(words[1:]))
    else:
        commands.make_parser(commands.context_class(commands)).parse_args(list(words))


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind in ("console", "sh")], ids=ids)
def test_every_command_of_a_block_is_one_of_hpchos(block, commands):
    for line in block.commands:
        for words in hpcho_calls(line):
            if words[0] != "install":  # what an image that is started by its name does
                parse(commands, words)


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_every_command_in_a_sentence_has_these_options(page, commands):
    for call in inline_calls(page.read_text(encoding="utf-8")):
        for words in hpcho_calls(call):
            if words[0] in commands.commands:
                command = commands.commands[words[0]]
                command.make_parser(command.context_class(command)).parse_args([w for w in words[1:] if w != "..."])
            elif words[0] not in LAUNCHER_S_OWN:
                parse(commands, words)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "python"], ids=ids)
def test_all_python_compiles(block):
    compile(block.text, block.page, "exec")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "yaml"], ids=ids)
def test_every_yaml_loads(block, tmp_path):
    import yaml

    import hpcho.experiment

    shown = yaml.safe_load(block.text)
    if block.of == "points":
        assert shown
        return
    for file, text in BESIDE.items():
        (tmp_path / file).write_text(text)
        (tmp_path / file).chmod(0o600)
    lacks = [f"{key}: {value}\n" for key, value in SMALL.items() if key not in shown]
    if "hyperas" in shown.get("objective", ()):
        lacks = []
    (tmp_path / "experiment.yaml").write_text(block.text + "".join(lacks))
    experiment, _ = hpcho.experiment.load(tmp_path / "experiment.yaml")
    assert experiment.name == shown.get("name", "small")


def test_the_file_of_hosts_is_read(tmp_path):
    from hpcho.launchers.hosts import read_hosts

    (block,) = [b for b in BLOCKS if b.page == "docs/ssh.md" and b.kind == "text"]
    (tmp_path / "hosts.txt").write_text(block.text)
    assert [(h.name, h.user, h.port) for h in read_hosts(tmp_path / "hosts.txt")] == [
        ("node1", None, None),
        ("node2", "ada", None),
        ("node3", None, 2222),
    ]


@pytest.mark.parametrize("page", REFERENCE)
def test_the_reference_is_what_the_code_says(page):
    assert page in MADE
    assert (ROOT / page).read_text(encoding="utf-8") == REFERENCE[page](), "out of date: `make docs` writes it"


def test_every_key_of_the_yaml_is_in_the_reference():
    from hpcho.experiment.schema import Experiment

    text = REFERENCE["docs/reference/keys.md"]()
    assert all(f"| `{key}` |" in text for key in Experiment.model_fields)


def test_views_that_are_compared_are_in_the_report():
    report = (ROOT / "docs/report.md").read_text(encoding="utf-8")
    compared = (ROOT / "docs/comparison.md").read_text(encoding="utf-8")
    views = set(re.findall(r"^\| ([A-Z][^|]+?) \|", report, re.MULTILINE))
    assert views >= set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", compared))
