"""The verdict of what is fresh, on a pipeline of two steps."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ribcage import provenance, step
from ribcage.errors import InputError

DVC_YAML = """
stages:
  first:
    cmd: "true"
    deps: [code.py, raw.txt]
    params: [first]
    outs: [out/first.txt, provenance/made/first.json, provenance/content/first.json]
  second:
    foreach: [a, b]
    do:
      cmd: "true"
      deps: [out/first.txt]
      outs:
        - out/${item}
        - provenance/made/second/${item}.json
        - provenance/content/second/${item}.json
  third:
    cmd: "true"
    deps: [provenance/content/second]
    outs: [out/third, provenance/made/third.json, provenance/content/third.json]
"""


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """A repository whose three stages have all been made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(step, "SCRIPTS", tmp_path / "scripts")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    Path("dvc.yaml").write_text(DVC_YAML)
    Path("params.yaml").write_text("first: {size: 1}\nother: 2\n")
    Path("code.py").write_text("pass\n")
    Path("raw.txt").write_text("raw\n")
    Path("out").mkdir()
    provenance.jobs.cache_clear()
    for stage in provenance.jobs():
        make(stage)
    yield tmp_path
    provenance.jobs.cache_clear()


def make(stage, content="x"):
    job = provenance.jobs()[stage]
    for out in job.outs:
        if "." in out:
            Path(out).write_text(content)
        else:
            Path(out).mkdir(exist_ok=True)
            Path(out, "file").write_text(content)
    hashes = provenance.Hashes()
    provenance.record(job, provenance.made_by(job, hashes), provenance.content_of(job, hashes))


def stale():
    provenance.jobs.cache_clear()
    return {stage: why for stage, why in provenance.stale_reasons().items() if why}


def test_what_was_made_is_fresh(pipeline):
    assert list(provenance.jobs()) == ["first", "second@a", "second@b", "third"]
    assert stale() == {}


def test_another_date_changes_nothing(pipeline):
    for path in (*Path("out").rglob("*"), Path("code.py"), Path("raw.txt")):
        os.utime(path, (2e9, 2e9))
    assert stale() == {}


@pytest.mark.parametrize("path", ["code.py", "raw.txt"])
def test_an_edited_dependency_makes_stale_with_all_that_follows(pipeline, path):
    Path(path).write_text("edited\n")
    assert stale() == {
        "first": f"changed: dep {path}",
        "second@a": "depends on first",
        "second@b": "depends on first",
        "third": "depends on second@a, second@b",
    }


def test_a_parameter_counts_for_the_stage_that_names_it_alone(pipeline):
    Path("params.yaml").write_text("first: {size: 1}\nother: 3\n")
    assert stale() == {}
    Path("params.yaml").write_text("first: {size: 2}\nother: 2\n")
    assert stale()["first"] == "changed: param first"


def test_a_lost_or_edited_output_is_stale(pipeline):
    Path("out/a/file").write_text("tampered")
    Path("out/b/file").unlink()
    Path("out/b").rmdir()
    found = stale()
    assert found["second@a"] == "its output is not what it wrote"
    assert found["second@b"] == "out/b is missing"
    assert found["third"] == "depends on second@a, second@b" and "first" not in found


def test_an_output_without_a_record_is_stale(pipeline):
    Path("provenance/made/third.json").unlink()
    assert stale() == {"third": "nothing says what made it"}


def test_a_record_cut_short_is_as_good_as_none(pipeline):
    Path("provenance/made/third.json").write_text('{"stage"')
    assert stale() == {"third": "nothing says what made it"}


def test_the_plan_dates_stamps_and_outputs_for_snakemake(pipeline):
    Path("code.py").write_text("edited\n")
    os.utime("out/third", (1, 1))
    provenance.jobs.cache_clear()
    provenance.plan()
    assert Path(".stamps/first").stat().st_mtime > 1e9
    before = Path(".stamps/first").read_text()
    provenance.plan()
    assert Path(".stamps/first").read_text() != before  # else Snakemake would think it the same
    make("first")
    for stage in ("second@a", "second@b", "third"):
        make(stage)
    provenance.plan()
    assert Path(".stamps/first").stat().st_mtime == 0
    assert dated(Path("out/third")) >= dated(Path("out/a"))


def dated(folder):
    stamp = folder / ".snakemake_timestamp"
    return (stamp if stamp.exists() else folder).stat().st_mtime


def test_a_job_that_is_gone_is_not_depended_on_and_may_come_back(pipeline):
    Path("dvc.yaml").write_text(DVC_YAML.replace("[a, b]", "[a]"))
    provenance.jobs.cache_clear()
    provenance.plan()
    assert not Path("provenance/content/second/b.json").exists()
    assert Path("out/b/file").exists()
    assert stale() == {"third": "changed: dep provenance/content/second"}
    Path("dvc.yaml").write_text(DVC_YAML)
    provenance.jobs.cache_clear()
    provenance.plan()
    assert stale() == {}


def test_what_is_fresh_is_committed_and_nothing_else(pipeline):
    Path("raw.txt").write_text("edited\n")
    make("first", "new")
    provenance.jobs.cache_clear()
    provenance.commit()
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    status = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"first"' not in status.stdout and '"second@a"' in status.stdout


def run(main, **rule):
    rule = {
        "input": {"stamp": ".stamps/first", "raw": "raw.txt"},
        "params": {},
        "threads": 1,
    } | rule

    class Output(list):
        def items(self):
            return [("text", self[0])]

    Path("logs").mkdir(exist_ok=True)
    step.run(
        main, SimpleNamespace(output=Output(["out/first.txt"]), log=["logs/first.log"], **rule)
    )


def test_a_step_writes_whole_or_not_at_all(pipeline):
    def fail(raw, text):
        text.write_text("half")
        raise InputError("raw.txt: row 7 is no row; mend it")

    with pytest.raises(SystemExit) as error:
        run(fail)
    assert error.value.code == 1
    assert Path("out/first.txt").read_text() == "x" and stale() == {}
    assert Path("logs/first.log").read_text() == "Error: raw.txt: row 7 is no row; mend it\n"
    assert not list(Path("out").glob(".*tmp"))


def test_a_step_replaces_its_output_and_records_it(pipeline, capsys):
    Path("raw.txt").write_text("edited\n")
    run(lambda raw, text: text.write_text(raw.read_text() + "!"))
    assert Path("out/first.txt").read_text() == "edited\n!"
    assert "first" not in stale()


def test_an_unexpected_error_is_logged_with_its_traceback(pipeline):
    def fail(raw, text):
        raise KeyError("surprise")

    with pytest.raises(SystemExit):
        run(fail)
    assert "Traceback" in Path("logs/first.log").read_text()


def test_a_step_that_writes_nothing_fails(pipeline):
    with pytest.raises(SystemExit):
        run(lambda raw, text: None)
    assert "without writing out/first.txt" in Path("logs/first.log").read_text()


def test_code_that_dvc_yaml_does_not_name_is_refused(pipeline, monkeypatch):
    hidden = SimpleNamespace(__file__=str(Path("scripts/hidden.py").resolve()))
    monkeypatch.setitem(sys.modules, "hidden", hidden)
    with pytest.raises(SystemExit):
        run(lambda raw, text: text.write_text("y"))
    assert "also runs scripts/hidden.py; add it to its deps" in Path("logs/first.log").read_text()
    assert Path("out/first.txt").read_text() == "x"
