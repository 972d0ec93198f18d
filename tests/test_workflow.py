"""The whole graph, on phantoms and on real films, with both engines."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from conftest import ROOT
from ribcage.settings import load_yaml
from shell import ENVIRONMENT, clone, preset, sh

pytestmark = pytest.mark.usefixtures("zygote")


def planned(folder):
    """The jobs that each engine would run: (Snakemake's, DVC's), by a first output."""
    text = sh("snakemake --dry-run", folder).stdout
    jobs = set()
    for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", text, re.M):
        if rule != "all":
            jobs.add(re.search(r"    output: ([^,\n]*)", block).group(1))
    dry = sh("dvc repro --dry", folder).stdout
    command = "> snakemake --cores all "
    return jobs, {x.removeprefix(command) for x in dry.splitlines() if x.startswith(command)}


@pytest.fixture(scope="module")
def built(finished, tmp_path_factory):
    """A clone in which the smoke preset has been run, which the tests of this file may change."""
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(finished, folder, dirs_exist_ok=True, symlinks=True)
    return folder


def test_the_phantom_run_ends_in_a_report(built):
    page = (built / "reports/index.html").read_text()
    assert "Ribcage smoke test" in page
    for name in ("unweighted", "weighted"):
        metrics = json.loads((built / "reports" / name / "metrics.json").read_text())
        assert metrics["splits"]["test"]["macro"]["auroc"]["findings"] >= 1
        assert name in page
    dropped = pd.read_csv(built / "data/interim/dropped.csv")
    assert dropped["reason"].str.startswith("on the list").all() and len(dropped) >= 1


def test_both_engines_say_that_nothing_is_to_be_done(built):
    assert "Nothing to be done" in sh("snakemake --dry-run", built).stdout
    assert "up to date" in sh("dvc status", built).stdout
    assert "Running stage" not in sh("dvc repro", built).stdout


def test_a_changed_learning_rate_is_the_same_steps_for_both(built):
    before = (built / "params.yaml").read_text()
    preset(built, "experiments.weighted.lr=0.0007")
    snakemake, dvc = planned(built)
    assert (
        snakemake
        == dvc
        == {
            "models/weighted/1",
            "reports/weighted/1",
            "reports/weighted/metrics.json",
            "reports/weighted/model_card.md",
            "reports/weighted/cams",
            "reports/experiments.csv",
            "reports/index.html",
        }
    )
    (built / "params.yaml").write_text(before)
    assert planned(built) == (set(), set())


def test_an_edited_module_is_noticed_by_both(built):
    module = built / "scripts/ribcage/metrics.py"
    before = module.read_text()
    module.write_text(before + "\n# an edit\n")
    snakemake, dvc = planned(built)
    assert "models/weighted/1" in snakemake & dvc
    assert "data/phantoms" not in snakemake | dvc
    module.write_text(before)
    assert planned(built) == (set(), set())


def test_the_same_params_give_the_same_bytes(built, tmp_path):
    again = clone(tmp_path)
    shutil.copy(built / "params.yaml", again)
    # The same cores: another number of threads rounds sums otherwise.
    sh("snakemake --cores 2 models/weighted/1 models/segmenter", again)
    for name in ("models/segmenter", "models/weighted/1", "data/phantoms/images"):
        for path in sorted((built / name).rglob("*")):
            if path.is_file() and path.name != ".snakemake_timestamp":
                other = again / path.relative_to(built)
                assert other.read_bytes() == path.read_bytes(), path


def test_a_user_sees_one_sentence_and_nothing_is_lost(built):
    report = (built / "reports/index.html").read_bytes()
    params = (built / "params.yaml").read_text()
    for old, new, words in (
        ("quality_faults: ", "qualty_faults: ", "'qualty_faults'"),
        ("kind: official", "kind: oficial", "'oficial' is not one of"),
    ):
        (built / "params.yaml").write_text(params.replace(old, new))
        done = sh("snakemake --cores 1", built, check=False)
        assert done.returncode != 0 and words in done.stdout
        assert "Traceback" not in done.stdout
    (built / "params.yaml").write_text(params)
    done = sh("snakemake --cores 1 --config seeds=[5]", built, check=False)
    assert done.returncode != 0 and "unknown to DVC" in done.stdout
    assert (built / "reports/index.html").read_bytes() == report


def test_a_failed_job_is_told_once_and_its_sibling_is_recorded(finished, tmp_path):
    folder = tmp_path / "clone"
    shutil.copytree(finished, folder, symlinks=True)
    script = folder / "scripts/score_predictions.py"
    lines = script.read_text().splitlines(keepends=True)
    place = next(n for n, line in enumerate(lines) if line.startswith("    found = evaluate("))
    lines.insert(place, '    if experiment == "weighted":\n        raise ValueError("surprise")\n')
    script.write_text("".join(lines))
    for command in ("snakemake --cores 2 --keep-going", "dvc repro"):
        done = sh(command, folder, check=False)
        assert done.returncode != 0
        assert done.stdout.count("ValueError: surprise") == 1
        assert done.stdout.count("Traceback") == 1 and "CalledProcessError" not in done.stdout
        assert f'File "scripts/score_predictions.py", line {place + 2}, in main' in done.stdout
        assert "logs/score_predictions/weighted.log" in done.stdout
        assert "give the same command again: what is finished stays" in done.stdout
    status = json.loads(sh("dvc status --json", folder).stdout)
    assert "score_predictions@weighted" in status and "score_predictions@unweighted" not in status


def test_a_job_that_outlives_its_snakemake_is_waited_for(built, tmp_path):
    folder = clone(tmp_path)
    preset(folder, "draw_phantoms.films=600", "draw_phantoms.films_per_batch=300")
    plain = {key: ENVIRONMENT[key] for key in ENVIRONMENT if key != "RIBCAGE_TEST_ZYGOTE"}
    command = ["snakemake", "--cores", "1", "data/phantoms"]
    run = subprocess.Popen(
        command, cwd=folder, env=plain, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(folder / "data/.phantoms.tmp")
    run.kill()
    run.wait()
    sh("snakemake --unlock", folder)
    done = sh(" ".join(command), folder)
    assert "kept: another run made it" in done.stdout
    assert "up to date" in sh("dvc status draw_phantoms", folder).stdout


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert path.exists()


def test_ctrl_c_leaves_nothing_half_written(built, tmp_path):
    folder = clone(tmp_path)
    shutil.copy(built / "params.yaml", folder)
    preset(folder, "draw_phantoms.films=4000", "draw_phantoms.films_per_batch=2000")
    run = subprocess.Popen(
        ["snakemake", "--cores", "2", "data/phantoms"],
        cwd=folder,
        env=ENVIRONMENT,
        start_new_session=True,
        # A shell ignores SIGINT for what it starts in the background, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(folder / "data/.phantoms.tmp")
    time.sleep(1)
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(60) != 0
    assert not (folder / "data/phantoms").exists()
    assert not (folder / "data/.phantoms.tmp").exists()


def starter(source, folder, films=36):
    """A folder in NIH's layout with the first films of the real ones, and with their quirks."""
    table = (source / "Data_Entry_2017_v2020.csv").read_text().splitlines()
    lists = {n: (source / n).read_text().split() for n in ("train_val_list.txt", "test_list.txt")}
    chosen = set(lists["test_list.txt"][: films // 3]) | set(
        lists["train_val_list.txt"][: films - films // 3]
    )
    (folder / "images").mkdir(parents=True)
    rows = [row for row in table[1:] if row.split(",")[0] in chosen]
    header = table[0].replace("Patient Sex", "Patient Gender")
    (folder / "Data_Entry_2017.csv").write_text("\n".join([header, *rows]))
    for name, listed in lists.items():
        (folder / name).write_text("\n".join(image for image in listed if image in chosen))
    shutil.copy(source / "BBox_List_2017.csv", folder)
    shutil.copytree(source / "blacklists", folder / "blacklists")
    for image in chosen:
        shutil.copy(source / "images" / image, folder / "images")
    return folder


LOCAL_PRESET = """
source: {kind: local, origin: FOLDER, images: FOLDER, suffix: ""}
batches: [images]
fetch_images: {archives: []}
write_shards: {shards: [lungs-64]}
experiments:
  u: {size_px: 64, samples: 64}
  w: {size_px: 64, samples: 64, weighting: weighted}
"""


def test_real_films_run_through_to_the_report(nih_starter, tmp_path):
    films = starter(nih_starter, tmp_path / "films")
    folder = clone(tmp_path / "clone")
    preset(folder)
    (folder / "presets/test.yaml").write_text(LOCAL_PRESET.replace("FOLDER", str(films)))
    sh(f"{sys.executable} scripts/use_preset.py presets/test.yaml", folder)
    sh("snakemake --cores 2", folder)
    page = (folder / "reports/index.html").read_text()
    assert "too few" in page
    curated = pd.read_parquet(folder / "data/interim/curated.parquet")
    assert len(curated) == 36 and (curated["width_px"] == 1024).all()
    lungs = pd.read_parquet(folder / "data/lungs/images.parquet")
    assert set(lungs["image"]) == set(curated["image"])
    assert (lungs["x1_px"] <= 1024).all() and (lungs["x0_px"] >= 0).all()
    assert "Nothing to be done" in sh("snakemake --dry-run", folder).stdout
    # A film that broke since is named, and the run stops before it writes anything.
    name = sorted(curated["image"])[0]
    (films / "images" / name).write_bytes((films / "images" / name).read_bytes()[:5000])
    done = sh("snakemake --cores 2", folder, check=False)
    assert done.returncode != 0 and f"{name}: the file is truncated" in done.stdout


def test_tables_alone_end_in_the_pages_on_data_and_on_imported_predictions(finished, tmp_path):
    folder = clone(tmp_path)
    source = finished / "data" / "phantoms"
    where = (f"source.{key}={source}" for key in ("origin", "images"))
    command = [sys.executable, "scripts/use_preset.py", "presets/nih_tables.yaml"]
    theirs = pd.read_parquet(finished / "reports/weighted/predictions.parquet")
    theirs.drop(columns=["patient", "split"]).to_csv(folder / "theirs.csv", index=False)
    imported = "import_predictions={theirs: {file: theirs.csv, of: own_test, learnt_from: nothing}}"
    sh([*command, "source.kind=local", "source.suffix=''", *where, imported], folder)
    sh("snakemake --cores 2", folder)
    page = (folder / "reports/data.html").read_text()
    assert "this run is on the tables alone" in page and "The films are phantoms" in page
    assert not (folder / "models").exists() and not (folder / "reports/index.html").exists()
    dropped, spared = (pd.read_csv(folder / f"data/interim/{n}.csv") for n in ("dropped", "spared"))
    certificate = json.loads((folder / "reports/certificate.json").read_text())
    assert (
        len(dropped) + sum(certificate["films"].values()) == 80 and len(dropped) + len(spared) > 1
    )
    assert "# Datasheet" in (folder / "reports/datasheet.md").read_text()
    scores = json.loads((folder / "reports/imported/theirs/metrics.json").read_text())
    assert scores["films"] == {"val": 0, "test": len(theirs)}
    assert "theirs.csv" in (folder / "reports/imported.html").read_text()
    assert "Nothing to be done" in sh("snakemake --dry-run", folder).stdout
    assert "up to date" in sh("dvc status write_datasheet split_patients", folder).stdout


def test_the_two_graphs_are_the_same(built):
    """Every input of a rule is a dependency of its stage, and every stage has its rule."""
    rules = set(
        re.findall(
            r"^rule (\w+):",
            "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk")),
            re.M,
        )
    )
    stages = set(load_yaml(ROOT / "dvc.yaml")["stages"])
    blocks = set(load_yaml(ROOT / "params.yaml"))
    assert rules == stages
    for rule in rules:
        assert (ROOT / "scripts" / f"{rule}.py").is_file()
        assert (ROOT / "tests" / f"test_{rule}.py").is_file()
    tables = {
        "compare_experiments",
        "fetch_tables",
        "write_datasheet",
        "write_model_card",
    }  # they have no number of their own
    assert rules - tables <= blocks


def test_the_snakefile_never_imports_torch(built):
    code = (
        "import sys; from snakemake.cli import main\n"
        "try: main(['--dry-run', '--quiet'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=built, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_parameter_of_a_rule_is_one_of_its_stage():
    """A parameter that only the rule knew would change an output unnoticed."""
    stages = load_yaml(ROOT / "dvc.yaml")["stages"]
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    constants = {"BATCHES": "batches", "FIRST_SEED": "seeds", "EXPERIMENTS": "experiments"}
    calls = {
        "settings.shards": "write_shards",
        "settings.of_experiment": "train_classifier",
    }
    placed = {("fetch_images", "fetch_images")}  # where archives wait, and which need room
    for name, body in re.findall(r"^rule (\w+):\n((?:(?!rule ).*\n)*)", text, re.M):
        stage = stages[name].get("do", stages[name])
        declared = {re.split(r"[.$]", str(key))[0] for key in stage.get("params", [])}
        params = re.search(r"    params:\n((?:        .*\n)*)", body)
        params = params.group(1) if params else ""
        used = set(re.findall(r'config\["(\w+)"\]', params))
        used |= {block for word, block in (constants | calls).items() if word in params}
        if "settings=config," in params:
            used |= set(load_yaml(ROOT / "params.yaml"))
        lost = {block for block in used - declared if (name, block) not in placed}
        assert not lost, f"{name}: {lost} are not in its stage's params"


@pytest.mark.parametrize("name", ["local", "nih", "nih_tables", "smoke"])
def test_no_preset_has_more_stages_than_dvc_can_bear(tmp_path, name):
    folder = clone(tmp_path)
    sh(f"{sys.executable} scripts/use_preset.py presets/{name}.yaml", folder)
    assert 15 < len(sh("dvc stage list --name-only", folder).stdout.splitlines()) < 150
