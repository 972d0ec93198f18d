import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from conftest import predictions_of
from ribcage import metrics
from ribcage.evaluation import curves
from ribcage.evaluation.bootstrap import Resamples
from ribcage.evaluation.calibration import bin_of
from ribcage.evaluation.intervals import interval
from ribcage.findings import FINDINGS

FILMS, PATIENTS, RESAMPLES, BINS = 900, 250, 300, 5


@pytest.fixture(scope="module")
def split():
    """Truth and predictions: Hernia never occurs, and nobody asked of Edema."""
    rng = np.random.default_rng(1)
    truth = pd.DataFrame(rng.random((FILMS, 14)) < 0.2, columns=FINDINGS).assign(Hernia=False)
    rows = predictions_of(truth).astype("f4").assign(Edema=np.float32("nan"))
    rows.insert(0, "patient", rng.integers(0, PATIENTS, FILMS))
    return truth, rows


@pytest.fixture(scope="module")
def drawn(split):
    truth, rows = split
    return curves.of_split(truth, rows, Resamples(rows["patient"], RESAMPLES, 1), BINS)


def of(table, name, curve):
    return table[(table["class"] == name) & (table["curve"] == curve)]


def scored(split, finding):
    truth, rows = split
    return truth[finding].to_numpy(), rows[finding].to_numpy(np.float64)


def test_every_class_has_its_curves_and_undefined_findings_none(drawn):
    assert list(drawn.columns) == curves.COLUMNS
    defined = [finding for finding in FINDINGS if finding not in ("Hernia", "Edema")]
    assert list(drawn["class"].unique()) == [*defined, "micro", "macro"]
    for name in (*defined, "micro"):
        assert set(drawn[drawn["class"] == name]["curve"]) == {"roc", "pr", "reliability"}
    assert set(drawn[drawn["class"] == "macro"]["curve"]) == {"roc", "pr"}
    assert drawn[drawn["curve"] != "reliability"]["films"].isna().all()
    assert drawn[drawn["curve"] == "reliability"]["threshold"].isna().all()


def test_points_of_a_finding_are_the_librarys(split, drawn):
    known, given = scored(split, "Mass")
    x, y, _ = roc_curve(known, given)
    points = of(drawn, "Mass", "roc")
    assert set(zip(points["x"], points["y"], strict=True)) <= set(zip(x, y, strict=True))
    precision, recall, _ = precision_recall_curve(known, given)
    points = of(drawn, "Mass", "pr")
    both = set(zip(recall, precision, strict=True))
    assert set(zip(points["x"], points["y"], strict=True)) <= both
    inside = points[np.isfinite(points["threshold"])].iloc[3]
    called = given >= inside["threshold"]
    assert known[called].mean() == pytest.approx(inside["y"], abs=1e-12)


def test_thinning_keeps_the_ends_and_the_area():
    rng = np.random.default_rng(0)
    known = rng.random(5000) < 0.3
    given = rng.random(5000) + known
    roc, pr = (part for _, part in curves.points(known, given).groupby("curve", sort=False))
    assert max(len(roc), len(pr)) <= curves.CURVE_POINTS
    assert (roc.iloc[0][["x", "y"]] == 0).all() and (roc.iloc[-1][["x", "y"]] == 1).all()
    assert auc(roc["x"], roc["y"]) == pytest.approx(metrics.auroc(known, given), abs=2e-3)
    assert curves.points(np.zeros(5000, bool), given).empty


def test_macro_curves_have_the_mean_of_the_areas(split, drawn):
    defined = [finding for finding in FINDINGS if finding not in ("Hernia", "Edema")]
    roc, pr = of(drawn, "macro", "roc"), of(drawn, "macro", "pr")
    assert np.array_equal(roc["x"], curves.GRID) and roc["y"].iloc[-1] == 1
    areas = [metrics.auroc(*scored(split, finding)) for finding in defined]
    assert auc(roc["x"], roc["y"]) == pytest.approx(np.mean(areas), abs=2e-3)
    areas = [average_precision_score(*scored(split, finding)) for finding in defined]
    assert pr["y"][1:].mean() == pytest.approx(np.mean(areas), abs=5e-3)


def test_the_macro_roc_is_the_mean_at_the_same_x_by_interpolation(split, drawn):
    at, rates = 60, []
    for finding in drawn["class"].unique()[:-2]:
        x, y, _ = roc_curve(*scored(split, finding))
        rates.append(np.interp(curves.GRID[at], x, y))
    assert of(drawn, "macro", "roc")["y"].iloc[at] == pytest.approx(np.mean(rates), abs=1e-9)


def test_bands_hold_the_curve_and_are_the_interval_of_resamples(split, drawn):
    for curve in ("roc", "pr"):
        points = of(drawn, "Mass", curve)
        inside = points[(points["x"] > 0.05) & (points["x"] < 0.95)]
        assert (inside["low"] <= inside["y"]).all() and (inside["y"] <= inside["high"]).all()
    # At a given 1 - specificity, by hand: draw patients, take the curve, interpolate.
    known, given = scored(split, "Mass")
    rows = split[1]
    resamples = Resamples(rows["patient"], RESAMPLES, 1)
    rates = []
    for block in resamples.blocks():
        for counts in block.T:
            x, y, _ = roc_curve(known, given, sample_weight=counts[resamples.codes])
            rates.append(np.interp(curves.GRID[80], x, y))
    points = of(drawn, "Mass", "roc").drop_duplicates("x")
    band = [np.interp(curves.GRID[80], points["x"], points[end]) for end in ("low", "high")]
    assert band == pytest.approx(interval(np.array(rates)), abs=0.005)


def test_the_macro_band_is_narrower_than_a_findings(drawn):
    one, mean = of(drawn, "Mass", "roc").drop_duplicates("x"), of(drawn, "macro", "roc")
    width = np.interp(0.3, one["x"], one["high"] - one["low"])
    narrow = np.interp(0.3, mean["x"], mean["high"] - mean["low"])
    assert 0 < narrow < 0.6 * width


def test_reliability_bins_have_as_many_films_and_their_shares(split, drawn):
    known, given = scored(split, "Mass")
    bins = of(drawn, "Mass", "reliability")
    assert bins["films"].tolist() == [FILMS // BINS] * BINS
    order = np.argsort(given, kind="stable").reshape(BINS, -1)
    assert bins["x"].to_numpy() == pytest.approx(given[order].mean(axis=1), abs=1e-12)
    assert bins["y"].to_numpy() == pytest.approx(known[order].mean(axis=1), abs=1e-12)
    assert (bins["low"] < bins["y"]).all() and (bins["y"] < bins["high"]).all()
    micro = of(drawn, "micro", "reliability")
    assert micro["films"].sum() == FILMS * 13  # nobody asked of Edema
    assert (micro["high"] - micro["low"]).max() < 0.1


def test_equal_scores_share_a_bin():
    given = np.array([0.1] * 6 + [0.2, 0.3, 0.4, 0.5])
    bins = bin_of(given, 5)
    assert bins.tolist() == [0] * 6 + [3, 3, 4, 4]
    assert bin_of(np.full(7, 0.5), 10).tolist() == [0] * 7
    spread = np.bincount(bin_of(np.random.default_rng(0).random(103), 10))
    assert set(spread) <= {10, 11}


def test_a_bin_without_positives_has_a_share_and_no_interval():
    given = np.linspace(0, 1, 400)
    truth = pd.DataFrame(dict.fromkeys(FINDINGS, given > 0.5))
    rows = pd.DataFrame(dict.fromkeys(FINDINGS, given))
    table = curves.of_split(truth, rows, Resamples(np.arange(400) // 2, 50, 1), 4)
    bins = of(table, "Mass", "reliability")
    assert bins["y"].tolist() == [0, 0, 1, 1]
    assert bins[["low", "high"]].isna().all(axis=None)


def test_nothing_defined_is_an_empty_table(split):
    truth, rows = split
    nobody = truth & False
    table = curves.of_split(nobody, rows, Resamples(rows["patient"], 10, 1), BINS)
    assert table.empty and list(table.columns) == curves.COLUMNS


def test_the_order_of_films_changes_nothing(split, drawn):
    truth, rows = (part.iloc[::-1] for part in split)
    other = curves.of_split(truth, rows, Resamples(rows["patient"], RESAMPLES, 1), BINS)
    pd.testing.assert_frame_equal(drawn, other, check_exact=False, rtol=1e-12, atol=1e-12)
