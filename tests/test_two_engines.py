"""Two fresh clones a scenario, Snakemake in one, DVC in the other: the same jobs, the same bytes.

What a job did stands in its log: the runner writes it anew whenever it is started, and says there
if it took the outputs from DVC's cache instead of making them.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import ROOT
from ribcage.settings import load_yaml
from shell import sh

ENGINES = {"snakemake": "snakemake --cores all", "dvc": "dvc repro"}
OUTPUTS = ("data", "models", "reports", "provenance")

STAGES = set(load_yaml(ROOT / "dvc.yaml")["stages"])
TRAINED = (
    "train_classifier/{}/1",
    "predict_findings/{}/1",
    "score_predictions/{}",
    "write_model_card/{}",
    "draw_cams/{}",
)


def experiment(name):
    """The jobs of one experiment, from its training on."""
    return {job.format(name) for job in TRAINED}


BOTH = experiment("unweighted") | experiment("weighted")
REPORT = {"compare_experiments", "write_report"}
CARDS = {"write_model_card/unweighted", "write_model_card/weighted"}
PAGES = {"write_report", "write_datasheet"} | CARDS
"""What shows the title."""


TOLD = ("reports/figures/time-by-step.", "provenance/content/write_report.json")
"""What has in it how long the jobs took, and so differs from run to run."""


def without_times(name, data):
    """A file's bytes; of the report all but the section on resources."""
    if name != "reports/index.html":
        return data
    before, _, rest = data.partition(b'<section id="resources">')
    told, end, after = rest.partition(b"</section>")
    assert b"Speed and resources" in told
    return before + end + after


def edit(file, old, new):
    """A change of one place in a file."""

    def change(folder):
        text = (folder / file).read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        (folder / file).write_text(text.replace(old, new))

    return change


def append(file, text):
    """A change at the end of a file, as an editor makes it: the old file is replaced."""

    def change(folder):
        before = (folder / file).read_bytes()
        (folder / file).unlink()  # it may be a read-only link into DVC's cache
        (folder / file).write_bytes(before + text.encode())

    return change


def all_that_know_findings(folder):
    """Every job there is, but those that fetch archives or lung masks."""
    made = folder / "provenance/made"
    jobs = {str(path.relative_to(made).with_suffix("")) for path in made.rglob("*.json")}
    return {job for job in jobs if not job.startswith(("fetch_images/", "fetch_lung_masks"))}


def rules_of_execution(folder):
    append("Snakefile", "\n# a comment\n")(folder)
    edit("rules/models.smk", "    threads: 1\n", "    threads: 2\n")(folder)
    edit("rules/lungs.smk", "        gpu=1,\n", "        gpu=0,\n")(folder)


def touch(folder):
    for path in folder.rglob("*"):
        if path.is_file() and not {".git", ".dvc"} & set(path.relative_to(folder).parts):
            path.touch()


def there_and_back(folder):
    text = (folder / "params.yaml").read_text()
    edit("params.yaml", "size_px: 96\n", "size_px: 128\n")(folder)
    (folder / "params.yaml").write_text(text)


def delete(path):
    def change(folder):
        shutil.rmtree(folder / path)

    return change


SCENARIOS = {
    "nothing": (lambda folder: None, set()),
    "a parameter of one experiment": (
        edit("params.yaml", "weighting: weighted\n", "weighting: weighted\n    lr: 1e-4\n"),
        experiment("weighted") | REPORT,
    ),
    "a shared training parameter": (
        edit("params.yaml", "weight_decay: 0.01", "weight_decay: 0.02"),
        BOTH | REPORT,
    ),
    "an unrelated parameter": (
        edit("params.yaml", "title: Ribcage smoke test", "title: Another title"),
        PAGES,
    ),
    "a data parameter": (
        edit("params.yaml", "val_share: 0.125", "val_share: 0.25"),
        {"split_patients", "score_metadata_baseline", "describe_data", "write_datasheet"}
        | {"import_predictions"}
        | BOTH
        | REPORT,
    ),
    "a library module of one step": (
        edit("scripts/ribcage/losses.py", "import torch\n", "import torch  # edited\n"),
        {"train_classifier/unweighted/1", "train_classifier/weighted/1"},
    ),
    "a module used by all": (
        append("scripts/ribcage/findings.py", "\n# edited\n"),
        all_that_know_findings,
    ),
    "a comment in a step whose output does not change": (
        append("scripts/split_patients.py", "\n# edited\n"),
        {"split_patients"},
    ),
    "report code": (
        append("scripts/ribcage/report/style.css", "\nb { color: #000 }\n"),
        PAGES | {"import_predictions"},
    ),
    "a comment, threads and resources in the Snakefile": (rules_of_execution, set()),
    "a new experiment": (
        edit("params.yaml", "  weighted:\n", "  another: {lr: 0.001}\n  weighted:\n"),
        experiment("another") | REPORT,
    ),
    "an experiment removed": (
        edit("params.yaml", "  unweighted:\n    weighting: unweighted\n", ""),
        REPORT,
    ),
    "a touch of every file": (touch, set()),
    "a parameter changed and changed back": (there_and_back, set()),
}


@pytest.fixture
def pair(finished, tmp_path):
    """Two fresh clones with the run pulled; and how to ask things of both at once."""
    return Pair({name: tmp_path / name for name in ENGINES}, finished)


class Pair:
    """One clone for each engine."""

    def __init__(self, folders, finished):
        self.folders, self.finished = folders, finished

    def each(self, work):
        """Do the same in both clones at once: results by engine."""
        with ThreadPoolExecutor(2) as pool:
            return dict(zip(ENGINES, pool.map(work, ENGINES), strict=True))

    def pull(self, clone="git clone -q", wanted=""):
        def work(engine):
            folder = self.folders[engine]
            sh(f"{clone} file://{self.finished} {folder}", folder.parent)
            sh(f"dvc pull -q {wanted}", folder)

        self.each(work)

    def change(self, change):
        self.each(lambda engine: change(self.folders[engine]))

    def run(self, **flags):
        """Run each engine: (the jobs that ran, the jobs that were taken from the cache), each."""

        def work(engine):
            folder = self.folders[engine]
            shutil.rmtree(folder / "logs", ignore_errors=True)
            sh(f"{ENGINES[engine]} {flags.get(engine, '')}", folder)
            logs = {
                str(path.relative_to(folder / "logs").with_suffix("")): path.read_text()
                for path in (folder / "logs").rglob("*.log")
            }
            taken = {job for job, log in logs.items() if log.startswith("taken from")}
            return set(logs) - taken, taken

        return self.each(work)

    def check(self, **flags):
        """Both engines have nothing to do, in both clones; the outputs are the same."""

        def work(engine):
            folder = self.folders[engine]
            dry = sh(f"snakemake --dry-run {flags.get('snakemake', '')}", folder).stdout
            assert "Nothing to be done" in dry, dry
            if "dvc" in flags:
                dry = sh(f"dvc repro --dry {flags['dvc']}", folder).stdout
                assert "Running stage" not in dry, dry
            else:
                status = sh("dvc status", folder).stdout
                assert "up to date" in status, status
            return {
                name: without_times(name, path.read_bytes())
                for top in OUTPUTS
                for path in sorted((folder / top).rglob("*"))
                if path.is_file() and path.name != ".snakemake_timestamp"
                for name in [str(path.relative_to(folder))]
                if not name.startswith(TOLD)
            }

        held = self.each(work)
        different = {
            path
            for path in held["snakemake"].keys() | held["dvc"].keys()
            if held["snakemake"].get(path) != held["dvc"].get(path)
        }
        assert not different


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_engines_run_the_same_jobs(pair, name):
    change, expected = SCENARIOS[name]
    pair.pull()
    pair.change(change)
    ran = pair.run()
    wanted = expected(pair.folders["dvc"]) if callable(expected) else expected
    assert {engine: jobs for engine, (jobs, _) in ran.items()} == dict.fromkeys(ENGINES, wanted)
    assert ran["dvc"][1] == set()
    pair.check()


@pytest.mark.parametrize(
    ("change", "job"),
    [
        (delete("models/weighted/1"), "train_classifier/weighted/1"),
        (append("reports/weighted/metrics.json", " "), "score_predictions/weighted"),
        (append("models/unweighted/1/history.csv", "\n"), "train_classifier/unweighted/1"),
    ],
    ids=["deleted", "tampered with", "tampered with in a folder"],
)
def test_a_lost_output_comes_back_from_the_cache(pair, change, job):
    pair.pull()
    pair.change(change)
    ran = pair.run()
    assert ran["dvc"] == (set(), {job})
    assert ran["snakemake"][0] == set() and job in ran["snakemake"][1]
    pair.check()


def test_what_was_run_before_comes_back_from_the_cache(pair):
    pair.pull()
    for title, which in (("Another", 0), ("Ribcage smoke test", 1)):
        pair.change(lambda folder, title=title: retitle(folder, title))
        ran = pair.run()
        assert {jobs[which] == PAGES and not jobs[1 - which] for jobs in ran.values()} == {True}
        pair.check()


def retitle(folder, title):
    lines = (folder / "params.yaml").read_text().splitlines(keepends=True)
    lines = [f"  title: {title}\n" if line.startswith("  title:") else line for line in lines]
    (folder / "params.yaml").write_text("".join(lines))


def test_a_switch_to_another_branch_and_back(pair):
    pair.pull()

    def other(folder):
        sh("git checkout -q -b other", folder)
        retitle(folder, "Other")

    pair.change(other)
    assert list(pair.run().values()) == [(PAGES, set())] * 2
    pair.change(lambda folder: sh("git commit -q --all -m other", folder))
    # Back with git alone: the outputs are the other branch's, and both engines see it.
    pair.change(lambda folder: sh("git checkout -q -", folder))
    assert list(pair.run().values()) == [(set(), PAGES)] * 2
    pair.check()
    # There again, with the outputs: nothing is left to do.
    pair.change(lambda folder: sh("git checkout -q other", folder))
    pair.change(lambda folder: sh("dvc checkout -q", folder))
    assert list(pair.run().values()) == [(set(), set())] * 2
    pair.check()


def test_a_reviewer_rebuilds_the_report_without_the_films(pair):
    heavy = {"draw_phantoms", "fetch_images", "write_shards", "predict_findings"}
    pair.pull(wanted=" ".join(sorted(STAGES - heavy)))
    flags = {"snakemake": "--config allow_missing=true", "dvc": "--allow-missing"}
    assert not (pair.folders["dvc"] / "data/raw/images").exists()
    assert list(pair.run(**flags).values()) == [(set(), set())] * 2
    pair.change(lambda folder: retitle(folder, "A reviewer's"))
    assert list(pair.run(**flags).values()) == [(PAGES, set())] * 2
    pair.check(**flags)
    assert not (pair.folders["dvc"] / "data/raw/images").exists()


def test_a_shallow_clone(pair):
    pair.pull("git clone -q --depth 1")
    assert list(pair.run().values()) == [(set(), set())] * 2
    pair.change(lambda folder: retitle(folder, "Shallow"))
    assert list(pair.run().values()) == [(PAGES, set())] * 2
    pair.check()
