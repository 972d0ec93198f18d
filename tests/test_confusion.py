import numpy as np
import pytest
from sklearn.metrics import (
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)

from ribcage.evaluation import confusion
from ribcage.evaluation.bootstrap import Resamples
from ribcage.findings import FINDINGS

FILMS = 240
NAN = float("nan")


def films(seed=0, chance=0.3):
    rng = np.random.default_rng(seed)
    known = rng.random((FILMS, 14)) < chance
    return known, rng.random((FILMS, 14)) * 0.7 + known * 0.3


def score(known, given, at, count=100):
    return confusion.score(known, given, np.array(at), Resamples(np.arange(FILMS) // 3, count, 1))


def test_every_mean_is_the_librarys():
    known, given = films()
    at = np.linspace(0.3, 0.7, 14)
    called = given >= at
    found = score(known, given, at)
    for name, ours, theirs in (
        ("precision", "ppv", precision_score),
        ("recall", "sensitivity", recall_score),
        ("f1", "f1", f1_score),
    ):
        for k, finding in enumerate(FINDINGS):
            expected = theirs(known[:, k], called[:, k])
            assert found[finding][ours]["value"] == pytest.approx(expected, abs=1e-12)
        for average in ("micro", "macro"):
            expected = theirs(known, called, average=average)
            assert found[average][ours]["value"] == pytest.approx(expected, abs=1e-12)
        for average in ("weighted", "samples"):
            expected = theirs(known, called, average=average, zero_division=0)
            assert found[average][name]["value"] == pytest.approx(expected, abs=1e-12)
    row = found["Mass"]
    tn, fp, fn, tp = confusion_matrix(known[:, 4], called[:, 4]).ravel()
    assert row["confusion"] == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    assert row["threshold"] == at[4]
    assert row["specificity"]["value"] == pytest.approx(tn / (tn + fp), abs=1e-12)
    assert row["npv"]["value"] == pytest.approx(tn / (tn + fn), abs=1e-12)
    assert sum(found["micro"]["confusion"].values()) == FILMS * 14
    for rows in found.values():
        for row in (row for name, row in rows.items() if name not in ("threshold", "confusion")):
            assert (row["low"] is None) == (row["value"] in (0, 1))
            if row["low"] is not None:
                assert row["low"] <= row["value"] + 1e-6 and row["value"] <= row["high"] + 1e-6


def test_a_resample_is_scored_as_its_films():
    known, given = films()
    at, resamples = np.full(14, 0.5), Resamples(np.arange(FILMS) // 3, 3, 1)
    called = given >= at
    table = confusion.tabulate(known, called, resamples)
    counts = next(resamples.blocks()).astype(int)
    drawn = np.repeat(np.arange(FILMS), counts[resamples.codes, 1])
    expected = f1_score(known[drawn], called[drawn], average="micro")
    assert table.pooled().rates()["f1"][2, 0] == pytest.approx(expected, abs=1e-12)


def test_what_has_no_denominator_is_undefined_and_in_no_mean():
    known, given = films()
    known[:, 13] = False  # never occurs
    at = np.full(14, 0.5)
    at[1] = 2  # never called
    at[2] = NAN  # without threshold
    given[:, 3] = NAN  # unknown to the model
    found = score(known, given, at)
    hernia, never = found["Hernia"], found["Cardiomegaly"]
    assert hernia["sensitivity"]["value"] is None and hernia["f1"]["value"] is None
    assert hernia["ppv"]["value"] == 0 and hernia["ppv"]["positives"] == 0
    assert never["ppv"]["value"] is None and never["f1"]["value"] == 0
    for finding in ("Effusion", "Infiltration"):
        row = found[finding]
        assert row["threshold"] is None and set(row["confusion"].values()) == {None}
        for name in confusion.RATES:
            assert row[name]["value"] is None and row[name]["positives"] > 0
    macro = {name: found["macro"][name]["findings"] for name in confusion.RATES}
    assert macro == {"sensitivity": 11, "specificity": 12, "ppv": 11, "npv": 12, "f1": 11}
    assert found["micro"]["f1"]["findings"] == 12
    assert sum(found["micro"]["confusion"].values()) == FILMS * 12
    kept = [k for k in range(14) if k not in (2, 3)]
    expected = f1_score(known[:, kept], given[:, kept] >= at[kept], average="micro")
    assert found["micro"]["f1"]["value"] == pytest.approx(expected, abs=1e-12)


def test_a_film_without_findings_and_calls_counts_as_zero():
    known = np.zeros((FILMS, 14), bool)
    known[:60, 0] = True
    found = score(known, np.where(known, 0.9, 0.1), np.full(14, 0.5))
    assert found["samples"]["f1"]["value"] == 0.25
    assert found["Atelectasis"]["f1"]["value"] == 1


def test_without_any_threshold_nothing_is_defined():
    known, given = films()
    found = score(known, given, np.full(14, NAN))
    for name in ("macro", "micro"):
        assert all(found[name][rate]["value"] is None for rate in confusion.RATES)
        assert found[name]["f1"]["findings"] == 0
    for name in ("weighted", "samples"):
        assert all(row["value"] is None for row in found[name].values())
    assert set(found["micro"]["confusion"].values()) == {None}


def test_kappa_is_the_librarys_and_of_the_held_films_alone():
    rng = np.random.default_rng(2)
    for share in (0.02, 0.3, 0.9):
        known, called, held = rng.random((3, 50, 1)) < [[[share]], [[share]], [[0.8]]]
        resamples = Resamples(np.arange(50), 3, 1)
        kappa = confusion.tabulate(known, called, resamples, held).kappa()[0, 0]
        expected = cohen_kappa_score(known[held], called[held])
        assert kappa == pytest.approx(expected, abs=1e-12, nan_ok=True)
    nothing = np.zeros((9, 1), bool)
    table = confusion.tabulate(nothing, nothing, Resamples(np.arange(9), 3, 1))
    assert np.isnan(table.kappa()).all()
