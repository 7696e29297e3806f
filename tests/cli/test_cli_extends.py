"""check, of an experiment that extends files."""


def test_check_says_what_was_taken_from_where(bench, hpcho):
    (bench.folder / "site.yaml").write_text("launcher: {local: {workers: 3, mem_gb: 4}}\nkeep: {best: 2}\n")
    bench.yaml.write_text(bench.yaml.read_text() + "extends: site.yaml\n")
    done = hpcho("check", bench.yaml)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["from", str(bench.folder / "site.yaml")] in lines
    assert ["launcher.local.mem_gb", "4"] in lines
    assert ["keep.best", "2"] in lines
    assert "launcher.local.workers" not in done.stdout
    assert "workers    2 local processes, at most 4 GB each" in done.stdout
