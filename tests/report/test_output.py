import csv
import subprocess
import sys

import pytest
import report_trials as made

from hpcho import space
from hpcho.errors import UsageError
from hpcho.report import render
from hpcho.trial import Cause, Failure

STEMS = {"progress", "importance", "scatter3d", "duration", "parallel", "parameters"}


def rendered(out, trials, of=made.SPACE, **options):
    return render(made.EXPERIMENT, of, trials, out, elapsed_s=60.0, **options)


@pytest.mark.parametrize("name", ["none", "one", "failed only", "half-way"])
def test_a_report_is_written_whatever_the_trials(tmp_path, name):
    trials = made.ODD[name]
    paths = rendered(tmp_path / "a folder" / "é", trials)
    assert [path.name for path in paths[:2]] == ["report.html", "trials.csv"]
    assert {(path.stem, path.suffix) for path in paths[2:]} == {
        (stem, suffix) for stem in STEMS for suffix in (".svg", ".png")
    }
    assert all(path.stat().st_size > 100 for path in paths)
    with paths[1].open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(trials)


def test_a_second_report_replaces_the_first_and_leaves_no_drafts(tmp_path):
    first = rendered(tmp_path, made.sampled(10))
    before = first[0].read_text(encoding="utf-8")
    second = rendered(tmp_path, made.sampled(30))
    assert first == second
    assert first[0].read_text(encoding="utf-8") != before
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(second)


def test_formats_may_be_chosen(tmp_path):
    assert {path.suffix for path in rendered(tmp_path, [], formats=("png",))[2:]} == {".png"}
    first, *others = rendered(tmp_path, made.sampled(12), formats=("pdf",))[2:]
    assert first.read_bytes().startswith(b"%PDF")
    assert {path.suffix for path in others} == {".pdf"}
    assert len(rendered(tmp_path / "bare", [], formats=())) == 2
    assert not (tmp_path / "bare" / "figures").exists()
    with pytest.raises(UsageError, match="figures cannot be written as gif; choose from svg, png, pdf"):
        rendered(tmp_path, [], formats=("gif", "svg"))


def test_wrong_axes_write_nothing(tmp_path):
    with pytest.raises(UsageError, match="no parameter is called 'depth'"):
        rendered(tmp_path / "out", made.sampled(5), axes=("depth", "lr"))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UsageError, match=r"the report cannot be written to .*file/out: Not a directory; choose another folder"
    ):
        rendered(tmp_path / "file" / "out", [])


def test_half_a_surrogate_pair_is_written(tmp_path):
    paths = rendered(tmp_path, [made.failed(0, Failure(Cause.OBJECTIVE, "no file \udcff"))])
    assert all("\\udcff" in path.read_text(encoding="utf-8") for path in paths[:2])


def test_tables_do_without_numpy_and_matplotlib():
    program = (
        "import sys; import hpcho.report, hpcho.report.summary\n"
        "assert not {'numpy', 'matplotlib', 'hyperopt'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_ten_thousand_trials_make_a_report_of_moderate_size(tmp_path):
    paths = rendered(tmp_path, made.sampled(10_000))
    assert paths[0].stat().st_size < 15_000_000


@pytest.mark.slow
def test_a_hundred_parameters_make_a_report(tmp_path):
    of = space.build({f"p{i}": {"float": [0, 1]} for i in range(100)})
    names = {path.name for path in rendered(tmp_path, made.sampled(100, of), of)}
    assert {f"parameters-{page}.svg" for page in range(1, 6)} <= names
