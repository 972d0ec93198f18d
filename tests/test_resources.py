"""The section on speed and resources: what benchmark files say, and what their absence means."""

import json

import pytest

from conftest import ROOT
from ribcage.report import resources
from ribcage.report.resources import duration, machine, measured, section, steps

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
CONFIG = {"device": "cpu", "precision": "float32"}
EXPERIMENTS = [{"models": [{"config": CONFIG}]}]


def write_job(root, name, seconds=None, memory=100, cpu=None, log="done\n"):
    """What a job leaves: its record, its log, and where it ran here, its benchmark."""
    record = root / "provenance" / "made" / f"{name}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"deps": {}, "params": {}}))
    text = root / "logs" / f"{name}.log"
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_text(log)
    if seconds is not None:
        table = root / "benchmarks" / f"{name}.tsv"
        table.parent.mkdir(parents=True, exist_ok=True)
        cpu = seconds if cpu is None else cpu
        table.write_text(f"{HEAD}{seconds}\t0\t{memory}\t0\t0\t0\t0\t0\t0.00\t{cpu}\n")


@pytest.fixture
def run(tmp_path):
    write_job(tmp_path, "train_classifier/a/1", 240, 1200, 120)
    write_job(tmp_path, "train_classifier/b/1", 120, 1351.6, 120)
    write_job(tmp_path, "split_patients", 0.5, 40, "NA")
    write_job(tmp_path, "find_lungs/one", 40, 900)
    write_job(tmp_path, "find_lungs/two", 3, 90, log="taken from DVC's cache: made before\n")
    write_job(tmp_path, "write_report", 500, 9000)
    write_job(tmp_path, "write_model_card/a", 500, 9000)
    (tmp_path / "benchmarks" / "dropped_step.tsv").write_text(f"{HEAD}900\n")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "x.smk").write_text(
        "rule train_classifier:\n    resources:\n        gpu=1,\n\n\n"
        "rule split_patients:\n    resources:\n        gpu=0,\n"
    )
    return tmp_path


def test_jobs_are_counted_by_step_and_the_longest_stands_first(run):
    shown = section(EXPERIMENTS, run)
    assert [row[:4] for row in shown["table"].rows] == [
        ["train_classifier", "2", "6 min 0 s", "4 min 0 s"],
        ["find_lungs", "1 of 2", "40 s", "40 s"],
        ["split_patients", "1", "0.5 s", "0.5 s"],
        ["All", "4 of 5", "6 min 40 s", "4 min 0 s"],
    ]
    assert shown["table"].rows[0][4:] == ["89.9 %", "1,352", "0.67", 1]
    assert shown["table"].rows[2][4:] == ["0.1 %", "–", "–", 0]
    assert shown["sentence"].startswith("4 of 5 jobs before this page were measured here; ")
    assert "train_classifier took longest, 6 min 0 s (89.9 %)" in shown["sentence"]
    assert "train_classifier/b/1, needed 1,352 MiB" in shown["sentence"]
    assert shown["gpus"].startswith("A GPU is asked for by train_classifier; ")
    assert "trained on cpu (float32), without a GPU." in shown["gpus"]


def test_the_page_does_not_change_because_it_was_written_again(run):
    before = section(EXPERIMENTS, run)
    write_job(run, "write_report", 1, 1)
    write_job(run, "write_datasheet", 1, 1)
    assert str(section(EXPERIMENTS, run)) == str(before)


def test_a_run_without_measurements_says_so(run, tmp_path):
    for path in (run / "benchmarks").rglob("*.tsv"):
        path.unlink()
    shown = section(EXPERIMENTS, run)
    assert shown["sentence"].startswith(
        "None of the 5 jobs before this page has left a measurement"
    )
    assert shown["figures"] == [] and shown["table"].rows == []
    nothing = section(EXPERIMENTS, tmp_path / "nowhere")
    assert nothing["sentence"].startswith("No record of a job lies beside this page")


def test_all_jobs_measured_is_said_as_it_is(tmp_path):
    write_job(tmp_path, "a", 2)
    write_job(tmp_path, "b", 8)
    assert section(EXPERIMENTS, tmp_path)["sentence"].startswith("All 2 jobs before this page were")


def test_the_only_job_has_no_others(tmp_path):
    write_job(tmp_path, "a", 2)
    said = section(EXPERIMENTS, tmp_path)["sentence"]
    assert said.startswith("The one job before this page was measured here. It took 2.0 s.")


def test_memory_of_jobs_too_short_to_be_looked_at_is_told_nowhere(tmp_path):
    write_job(tmp_path, "a", 2, 100)
    write_job(tmp_path, "b", 0.5, 4000)
    shown = section(EXPERIMENTS, tmp_path)
    assert "The largest job, a, needed 100 MiB" in shown["sentence"]
    assert shown["table"].rows[-1][5] == "100"


def test_jobs_that_took_no_time_have_no_shares(tmp_path):
    write_job(tmp_path, "a", 0)
    write_job(tmp_path, "b", 0)
    shown = section(EXPERIMENTS, tmp_path)
    assert shown["sentence"].endswith("Each was over before a time could be told.")
    assert shown["figures"] == [] and shown["table"].rows[-1][4] == "–"


def test_a_gpu_that_trained_is_named(tmp_path):
    on = [{"models": [{"config": {"device": "cuda", "precision": "bfloat16 autocast"}}]}]
    said = section(on, tmp_path)["gpus"]
    assert "trained on cuda (bfloat16 autocast). " in said and "without a GPU." not in said


def test_the_figure_has_a_bar_a_measured_step(run):
    (figure,) = section(EXPERIMENTS, run)["figures"]
    assert figure.chart.data["name"].tolist() == [
        "train_classifier",
        "find_lungs",
        "split_patients",
    ]
    assert str(figure.chart).count("<rect") == 3 and "6 min 0 s" in str(figure.chart)
    assert figure.caption.endswith("train_classifier takes 89.9 % of the whole.")


@pytest.mark.parametrize("text", ["", HEAD, f"{HEAD}NA\t-\t-\n", "not a table"])
def test_a_benchmark_that_says_nothing_measures_nothing(tmp_path, text):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "x.tsv").write_text(text)
    assert measured("x", tmp_path) is None


def test_times_are_said_as_a_person_would():
    said = [duration(s) for s in (0.04, 9.94, 9.96, 59.6, 237.4, 3599.6, 7380, 400_000)]
    assert said[:4] == ["0.0 s", "9.9 s", "10 s", "1 min 0 s"]
    assert said[4:] == ["3 min 57 s", "1 h 0 min", "2 h 3 min", "111 h 7 min"]


def test_the_rules_say_who_asks_for_a_gpu():
    assert resources.asked_gpus(ROOT / "rules")["train_classifier"] == 1
    assert "split_patients" not in resources.asked_gpus(ROOT / "rules")


def test_the_machine_is_told_as_far_as_it_tells_itself(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: A <b>CPU</b>\n")
    told = dict(machine(tmp_path / "cpuinfo"))
    assert told["processor"] == "A <b>CPU</b>" and told["memory"].endswith(" GiB")
    assert int(told["cores"].split(",")[0]) >= 1
    assert dict(machine(tmp_path / "none"))["processor"]


def test_steps_without_records_are_none(tmp_path):
    assert steps(tmp_path) == []
