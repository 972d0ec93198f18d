"""The verdict of what is fresh, and what follows from it, on a pipeline of three steps."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ribcage.engine import jobs, planning, records, step, store
from ribcage.engine.hashes import Hashes
from ribcage.errors import InputError
from ribcage.settings import load_yaml

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
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr(step, "SCRIPTS", tmp_path / "scripts")
    subprocess.run(["git", "init", "-q"], check=True)
    dvc("init", "-q")
    Path("dvc.yaml").write_text(DVC_YAML)
    Path(".dvcignore").write_text(".snakemake_timestamp\n.*.tmp\n")
    Path(".gitignore").write_text(
        "/out\n/provenance\n/.stamps\n"
    )  # else DVC adds its own to folders
    Path("params.yaml").write_text("first: {size: 1}\nother: 2\n")
    Path("code.py").write_text("pass\n")
    Path("raw.txt").write_text("raw\n")
    Path("out").mkdir()
    jobs.reread()
    for stage in jobs.jobs():
        make(stage)
    yield tmp_path
    jobs.reread()


def dvc(*arguments):
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def make(stage, content="x"):
    job = jobs.jobs()[stage]
    for out in job.outs:
        if "." in out:
            Path(out).write_text(content)
        else:
            Path(out).mkdir(exist_ok=True)
            Path(out, "file").write_text(content)
    records.forget(job)
    hashes = Hashes()
    records.record(job, records.made_by(job, hashes), records.content_of(job, hashes))


def verdict(**how):
    jobs.reread()
    return records.verdict(**how)


def stale(**how):
    return {stage: why for stage, why in verdict(**how).items() if why}


def test_what_was_made_is_fresh(pipeline):
    assert list(jobs.jobs()) == ["first", "second@a", "second@b", "third"]
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
        "second@a": "follows first",
        "second@b": "follows first",
        "third": "follows second@a, second@b",
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
    assert found["third"] == "follows second@a, second@b" and "first" not in found


def test_an_output_without_a_record_is_stale(pipeline):
    Path("provenance/made/third.json").unlink()
    assert stale() == {"third": "nothing says what made it"}


def test_a_record_cut_short_is_as_good_as_none(pipeline):
    Path("provenance/made/third.json").write_text('{"stage"')
    assert stale() == {"third": "nothing says what made it"}


def test_the_plan_dates_stamps_and_outputs_for_snakemake(pipeline):
    Path("code.py").write_text("edited\n")
    os.utime("out/third", (1, 1))
    jobs.reread()
    planning.plan()
    assert Path(".stamps/first").stat().st_mtime > 1e9
    before = Path(".stamps/first").read_text()
    planning.plan()
    assert Path(".stamps/first").read_text() != before  # else Snakemake would think it the same
    make("first")
    for stage in ("second@a", "second@b", "third"):
        make(stage)
    planning.plan()
    assert Path(".stamps/first").stat().st_mtime == 0
    assert dated(Path("out/third")) >= dated(Path("out/a"))


def dated(folder):
    stamp = folder / ".snakemake_timestamp"
    return (stamp if stamp.exists() else folder).stat().st_mtime


def test_a_job_that_is_gone_is_not_depended_on_and_may_come_back(pipeline):
    Path("dvc.yaml").write_text(DVC_YAML.replace("[a, b]", "[a]"))
    jobs.reread()
    planning.plan()
    assert not Path("provenance/content/second/b.json").exists()
    assert Path("out/b/file").exists()
    assert stale() == {"third": "changed: dep provenance/content/second"}
    Path("dvc.yaml").write_text(DVC_YAML)
    jobs.reread()
    planning.plan()
    assert stale() == {}


def test_what_is_fresh_is_committed_and_nothing_else(pipeline):
    Path("raw.txt").write_text("edited\n")
    make("first", "new")
    store.commit()
    status = dvc("status", "--json")
    assert '"first"' not in status and '"second@a"' in status


class Named(list):
    """As Snakemake hands over outputs and resources: by position and by name."""

    def items(self):
        return [("text", self[0])]

    def get(self, name, default):
        return default


def run(main, **rule):
    rule = {
        "rule": "first",
        "input": {"stamp": ".stamps/first", "raw": "raw.txt"},
        "params": {},
        "threads": 1,
    } | rule
    Path("logs").mkdir(exist_ok=True)
    outputs = Named(["out/first.txt"])
    step.run(
        main, SimpleNamespace(output=outputs, resources=outputs, log=["logs/first.log"], **rule)
    )


def edit_and_plan():
    """Make the first step stale, as a user who then starts Snakemake."""
    Path("raw.txt").write_text("edited\n")
    jobs.reread()
    planning.plan()


def test_a_step_writes_whole_or_not_at_all(pipeline):
    def fail(raw, text):
        text.write_text("half")
        raise InputError("raw.txt: row 7 is no row; mend it")

    edit_and_plan()
    with pytest.raises(SystemExit) as error:
        run(fail)
    assert error.value.code == 1
    assert Path("out/first.txt").read_text() == "x"
    first, second = Path("logs/first.log").read_text().splitlines()
    assert first == "Error: raw.txt: row 7 is no row; mend it"
    assert "logs/first.log" in second and "same command again" in second
    assert not list(Path("out").glob(".*tmp"))


def test_a_step_replaces_its_output_and_records_it(pipeline, capsys):
    edit_and_plan()
    run(lambda raw, text: text.write_text(raw.read_text() + "!"))
    assert Path("out/first.txt").read_text() == "edited\n!"
    assert "first" not in stale()


def test_an_unexpected_error_is_logged_with_its_traceback(pipeline):
    def fail(raw, text):
        raise KeyError("surprise")

    edit_and_plan()
    with pytest.raises(SystemExit):
        run(fail)
    log = Path("logs/first.log").read_text()
    assert "Traceback" in log and "KeyError: 'surprise'" in log
    assert "engine/step.py" not in log  # the user's error is not in the runner


def test_a_step_that_writes_nothing_fails(pipeline):
    edit_and_plan()
    with pytest.raises(SystemExit):
        run(lambda raw, text: None)
    assert "without writing out/first.txt" in Path("logs/first.log").read_text()


def test_code_that_dvc_yaml_does_not_name_is_refused(pipeline, monkeypatch):
    hidden = SimpleNamespace(__file__=str(Path("scripts/hidden.py").resolve()))
    monkeypatch.setitem(sys.modules, "hidden", hidden)
    edit_and_plan()
    with pytest.raises(SystemExit):
        run(lambda raw, text: text.write_text("y"))
    assert "also runs scripts/hidden.py; add it to its deps" in Path("logs/first.log").read_text()
    assert Path("out/first.txt").read_text() == "x"


def test_a_stale_job_is_seen_though_its_output_is_of_the_future(pipeline):
    os.utime("out/first.txt", (4e9, 4e9))
    edit_and_plan()
    assert Path(".stamps/first").stat().st_mtime > Path("out/first.txt").stat().st_mtime


def test_a_dependency_that_dvc_yaml_ceases_to_name_is_as_little_to_us_as_to_dvc(pipeline):
    store.commit()
    Path("dvc.yaml").write_text(DVC_YAML.replace("[code.py, raw.txt]", "[raw.txt]"))
    assert stale() == {} and "up to date" in dvc("status")
    Path("dvc.yaml").write_text(DVC_YAML.replace("raw.txt]", "raw.txt, params.yaml]"))
    assert stale()["first"] == "changed: dep params.yaml" and "first" in dvc("status")


def test_hashes_are_those_of_dvc(pipeline):
    Path("out/a/ünter").mkdir()
    Path("out/a/ünter/b.txt").write_text("b")
    Path("out/a/a.txt").write_text("a")
    Path("out/a/.snakemake_timestamp").touch()
    Path("out/a/.half.tmp").touch()
    make("second@a")
    store.commit()
    lock = load_yaml(Path("dvc.lock"))["stages"]["second@a"]
    held = {row["path"]: row["md5"] for row in (*lock["deps"], *lock["outs"])}
    assert held == {path: Hashes().of(path) for path in held}
    assert held["out/a"].endswith(".dir") and Hashes().of("no such file") is None


def test_what_is_recorded_is_told_from_what_is_not(pipeline):
    assert store.unrecorded(verdict()) == ["first", "second@a", "second@b", "third"]
    store.commit()
    assert store.unrecorded(verdict()) == []
    Path("raw.txt").write_text("edited\n")
    make("first")
    assert store.unrecorded(verdict()) == ["first"]


def test_a_finished_run_that_was_not_recorded_is_said_at_the_next_start(pipeline, capsys):
    store.commit()
    Path("raw.txt").write_text("edited\n")
    jobs.reread()
    make("first")
    planning.plan()
    said = capsys.readouterr().err
    assert "not recorded in DVC: first;" in said and "scripts/record_run.py" in said
    store.commit()
    planning.plan()
    assert capsys.readouterr().err == ""


def test_a_disk_that_is_full_is_not_taken_for_a_commit(pipeline, monkeypatch):
    def full(*arguments):
        told = '{"first": ["changed outs"]}' if arguments[0] == "status" else ""
        return SimpleNamespace(returncode=0, stdout=told, stderr="")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_dvc", full)
        with pytest.raises(InputError, match="is the disk full"):
            store.commit()
    assert "first" in store.unrecorded(verdict())
    store.commit()
    assert store.unrecorded(verdict()) == []


def test_params_edited_during_a_run_are_not_recorded_beside_what_it_made(pipeline):
    """The worst trap: old outputs under new parameters, and both engines content with it."""
    store.commit()
    planning.plan()
    Path("params.yaml").write_text("first: {size: 2}\nother: 2\n")
    store.commit()  # as at the end of a run that was planned before the edit
    assert load_yaml(Path("dvc.lock"))["stages"]["first"]["params"]["params.yaml"] == {
        "first": {"size": 1}
    }
    assert stale()["first"] == "changed: param first"


def test_dvc_commits_by_itself_when_it_is_the_caller(pipeline, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "first")
    store.commit()
    assert not Path("dvc.lock").exists()


def test_a_step_whose_code_or_params_were_edited_after_planning_is_refused(pipeline):
    edit_and_plan()
    Path("code.py").write_text("edited\n")
    with pytest.raises(SystemExit):
        run(lambda raw, text: text.write_text("y"))
    assert "code.py: edited since this run was planned" in Path("logs/first.log").read_text()
    planning.plan()
    Path("params.yaml").write_text("first: {size: 2}\nother: 2\n")
    jobs.reread()
    with pytest.raises(SystemExit):
        run(lambda raw, text: text.write_text("y"))
    assert "first: edited since this run was planned" in Path("logs/first.log").read_text()
    assert Path("out/first.txt").read_text() == "x"


def refuse(raw, text):
    raise AssertionError("the step ran")


def test_what_was_made_before_is_taken_from_the_cache(pipeline):
    store.commit()
    edit_and_plan()
    run(lambda raw, text: text.write_text("edited"))
    store.commit()
    Path("raw.txt").write_text("raw\n")
    jobs.reread()
    planning.plan()
    run(refuse)
    assert Path("out/first.txt").read_text() == "x" and stale() == {}
    assert "taken from DVC's cache" in Path("logs/first.log").read_text()


def test_a_lost_output_is_taken_from_the_cache(pipeline):
    store.commit()
    Path("out/first.txt").unlink()
    planning.plan()
    run(refuse)
    assert Path("out/first.txt").read_text() == "x" and stale() == {}


def test_a_cache_that_was_edited_through_a_link_is_not_believed(pipeline):
    dvc("config", "cache.type", "hardlink")
    for stage, content in (("first", "one"), ("second@a", "a"), ("second@b", "b"), ("third", "3")):
        make(stage, content)
    store.commit()
    Path("out/first.txt").chmod(0o644)  # root would not even need this
    with Path("out/first.txt").open("a") as file:
        file.write("tampered")
    Path("out/first.txt").chmod(0o444)
    planning.plan()
    run(lambda raw, text: text.write_text("one"))
    store.commit()
    assert Path("out/first.txt").read_text() == "one" and stale() == {}


def test_a_job_that_is_forced_runs_though_it_was_made_before(pipeline):
    store.commit()
    planning.plan()
    planning.FORCED.mkdir()
    (planning.FORCED / "first").touch()
    run(lambda raw, text: text.write_text("again"))
    assert Path("out/first.txt").read_text() == "again"
    planning.plan()
    assert not planning.FORCED.exists()


def test_a_job_that_another_run_finished_meanwhile_is_kept(pipeline):
    edit_and_plan()
    make("first", "made by another")
    run(refuse)
    assert "kept" in Path("logs/first.log").read_text()
    assert Path("out/first.txt").read_text() == "made by another"


def test_what_is_not_here_is_vouched_for_by_dvc_lock(pipeline):
    store.commit()
    for path in ("out/first.txt", "provenance/made/first.json", "provenance/content/first.json"):
        Path(path).unlink()
    shutil.rmtree("out/a")
    shutil.rmtree("provenance/content/second")
    assert set(stale()) == {"first", "second@a", "second@b", "third"}
    assert stale(allow_missing=True) == {}
    Path("out/b/file").write_text("tampered")
    assert stale(allow_missing=True)["second@b"] == "its output is not what it wrote"
    shutil.rmtree("out/b")
    assert stale(allow_missing=True) == {}
    Path("params.yaml").write_text("first: {size: 2}\nother: 2\n")
    assert stale(allow_missing=True)["first"] == "changed: param first"


def test_a_folder_of_which_a_part_is_absent_hashes_as_if_it_were_here(pipeline):
    before = Hashes().of("out")
    absent = {path: Hashes().of(path) for path in ("out/a/file", "out/first.txt")}
    for path in absent:
        Path(path).unlink()
    assert Hashes().of("out") != before
    hashes = Hashes()
    hashes.absent = absent
    assert hashes.of("out") == before


class Dag:
    """A graph as Snakemake's, of the pipeline's four jobs; edges may be changed."""

    def __init__(self):
        self.made = {stage: self.job(job) for stage, job in jobs.jobs().items()}
        self.jobs = list(self.made.values())
        above = {"second@a": ["first"], "second@b": ["first"], "third": ["second@a", "second@b"]}
        self.dependencies = {
            job: [self.made[other] for other in above.get(stage, [])]
            for stage, job in self.made.items()
        }
        for job in self.jobs:
            job.input += [path for other in self.dependencies[job] for path in other.output]

    def job(self, job):
        source = [dep for dep in job.deps if dep == "raw.txt"]
        name = job.stage.split("@")[0]
        return Node(name, [str(job.stamp), *source], list(job.outs))

    def needrun_jobs(self):
        return [self.made["first"]]

    def reason(self, job):
        return SimpleNamespace(forced=True)


class Node:
    def __init__(self, name, given, made):
        self.rule, self.input, self.output = SimpleNamespace(name=name), given, made


@pytest.fixture
def dag(pipeline, monkeypatch):
    monkeypatch.setattr(planning, "_script_of", lambda job: "code.py")
    text = DVC_YAML.replace("deps: [out/first", "deps: [code.py, out/first")
    Path("dvc.yaml").write_text(text.replace("deps: [prov", "deps: [code.py, prov"))
    jobs.reread()
    return Dag()


def test_graphs_that_agree_are_let_through_and_forced_jobs_marked(dag):
    planning.start(dag)
    assert (planning.FORCED / "first").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda d: d.dependencies[d.made["third"]].pop(),
            "third (third) does not take what second@b",
        ),
        (
            lambda d: d.dependencies[d.made["second@a"]].append(d.made["second@b"]),
            "stage second@a does not depend on what second@b makes",
        ),
        (lambda d: d.made["first"].input.append("more.txt"), "first does not depend on more.txt"),
        (lambda d: d.made["first"].output.append("more.txt"), "first has the outputs"),
        (lambda d: d.made["third"].output.insert(0, "x"), "no stage has the output x"),
    ],
)
def test_graphs_that_differ_stop_the_run_and_the_edge_is_named(dag, change, words):
    change(dag)
    for job in dag.jobs:
        made = [path for other in dag.dependencies[job] for path in other.output]
        job.input = [p for p in job.input if not p.startswith("out/")] + made
    with pytest.raises(InputError, match=re.escape(words)):
        planning.start(dag)


def test_a_read_only_link_is_replaced_by_a_copy_before_a_run(dag, monkeypatch):
    cached = Path("cached.txt")
    cached.write_text("x")
    Path("out/first.txt").unlink()
    os.link(cached, "out/first.txt")
    monkeypatch.setattr(planning.os, "access", lambda path, mode: False)  # as for another than root
    planning.start(dag)
    assert cached.stat().st_nlink == 1 and Path("out/first.txt").read_text() == "x"
