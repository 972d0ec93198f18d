"""A shortcut that is planted is found by the report, and none is found where none was planted."""

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from conftest import predictions_of
from ribcage.evaluation.bootstrap import Resamples
from ribcage.evaluation.shortcuts import read_marks, score_marks
from ribcage.findings import FINDINGS
from ribcage.phantoms.exposure import draw_film
from ribcage.phantoms.population import Cohort, Film, Shortcut, population
from ribcage.report import shortcuts

PLANTED = Shortcut("Nodule", "pacemaker", 0.85, 0.10)
SEED = 5


def some_films(cohort: Cohort) -> list[Film]:
    """130 films with a nodule and 220 without, drawn alone out of a large population."""
    planned = [film for film in population(3000, 0, SEED, cohort) if not film.rgba]
    ill = [film for film in planned if "Nodule" in film.findings][:130]
    others = [film for film in planned if "Nodule" not in film.findings][:220]
    return sorted(ill + others, key=lambda film: film.name)


def cut(film: Film) -> np.ndarray:
    """What a network would see of a film: the square around its lungs, small and standardised."""
    drawn = draw_film(film, 64, SEED)
    rows, columns = (np.flatnonzero(drawn.lungs.any(axis=axis)) for axis in (1, 0))
    lungs = drawn.pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    small = cv2.resize(lungs, (24, 24), interpolation=cv2.INTER_AREA).astype(float)
    return ((small - small.mean()) / (small.std() + 1)).ravel()


def said_of(cohort: Cohort) -> tuple[dict, dict]:
    """Train on half of the patients, score the others, and return the report's section."""
    films = some_films(cohort)
    truth = pd.DataFrame([[f in film.findings for f in FINDINGS] for film in films])
    truth.columns = list(FINDINGS)
    patients = np.array([film.patient for film in films])
    seen, learning = np.stack([cut(film) for film in films]), patients % 2 == 0
    model = LogisticRegression(C=0.002, max_iter=300)
    model.fit(seen[learning], truth["Nodule"][learning])
    rows = pd.DataFrame(0.5, index=truth.index, columns=list(FINDINGS))
    rows = rows.assign(Nodule=model.predict_proba(seen)[:, 1], patient=patients)[~learning]
    kinds = sorted({mark for film in films for mark in film.marks})
    marks = {kind: np.array([kind in film.marks for film in films])[~learning] for kind in kinds}
    resamples = Resamples(patients[~learning], 500, 1)
    scored = score_marks(truth[~learning], rows, marks, resamples)
    return shortcuts.section([experiment(scored)]), scored


def test_a_planted_shortcut_is_found_and_only_where_it_was_planted():
    for planted in ((PLANTED,), ()):
        section, scored = said_of(Cohort(shortcuts=planted))
        pair = scored["pacemaker"].get("Nodule")
        found = [said for said in section["leaning"] if "leans on pacemaker for Nodule" in said]
        assert len(found) == len(planted)
        if planted:
            assert pair["broken"]["value"] < 0.5 < pair["all"]["value"]
            assert "In 1 case a network leans on the mark" in section["sentence"]


def pair(
    broken: float | None,
    low: float | None = 0.05,
    alone: float | None = 0.9,
    patients: int = 25,
) -> dict:
    def row(value: float | None, low: float | None = None) -> dict:
        high = None if low is None else 0.95
        counts = {"positives": 30, "negatives": 30, "patients": patients}
        return {"value": value, "low": low, "high": high, **counts}

    drop = None if broken is None else 0.9 - broken
    return {
        "share_of_positives": 0.85,
        "share_of_negatives": 0.03,
        "all": row(0.9),
        "without_mark": row(0.7),
        "mark_alone": row(alone),
        "broken": row(broken),
        "drop": row(drop, low if drop else None),
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (pair(0.3), "leans on it"),
        (pair(0.85), "no sign"),
        (pair(0.95, low=-0.2), "no sign"),
        (pair(0.75, low=-0.01), "perhaps: too few films to be sure"),
        (pair(0.75, low=None), "perhaps: too few films to be sure"),
        (pair(None), "too few films break the link to tell"),
        (pair(0.3, patients=19), "too few patients with the finding to tell"),
    ],
)
def test_the_verdict_follows_the_rule_that_is_printed(given, said):
    assert shortcuts.verdict(given) == said


def experiment(marks: dict) -> dict:
    return {"name": "some", "metrics": {"splits": {"test": {"marks": marks}}}}


def test_what_there_is_to_say_is_said():
    none = shortcuts.section([experiment({})])
    assert "has no list of marks" in none["sentence"] and not none["rule"]
    far = shortcuts.section([experiment({"drain": {"Mass": pair(0.3, alone=0.55)}, "line": {}})])
    assert far["sentence"].startswith("Of 2 kinds of marks on the films none goes")
    assert not far["table"].rows
    against = shortcuts.section([experiment({"drain": {"Mass": pair(0.85, alone=0.2)}})])
    assert "1 pair of a mark and a finding goes together" in against["sentence"]
    assert "No experiment is seen to lean" in against["sentence"]
    leaning = shortcuts.section([experiment({"drain": {"Mass": pair(0.3)}})])
    untold = shortcuts.section([experiment({"drain": {"Mass": pair(None)}})])
    assert "In 1 case too few films break the link to tell" in untold["sentence"]
    assert leaning["leaning"] == [
        "some leans on drain for Mass: AUROC 0.900 on all films, 0.700 on those without drain, "
        "0.300 on the 30 positives and 30 negatives that break the link."
    ]
    row = leaning["table"].rows[0]
    assert row[-1] == "30 / 30" and row[shortcuts.VERDICT] == "leans on it"
    rare = shortcuts.section([experiment({"drain": {"Mass": pair(0.3, patients=1)}})])
    assert rare["table"].rows[0][6:10] == ["too few: 1 patient"] * 3 + ["0.300"]
    assert "In 1 case too few patients have the finding" in rare["sentence"]
    assert not rare["leaning"]


FILMS = 300


@pytest.fixture
def films():
    """Labels, predictions, and which films bear a mark that goes with masses."""
    rng = np.random.default_rng(2)
    truth = pd.DataFrame(rng.random((FILMS, 14)) < 0.2, columns=FINDINGS)
    truth["Hernia"] = False
    rows = predictions_of(truth).assign(patient=np.arange(FILMS) // 2)
    borne = np.where(truth["Mass"], rng.random(FILMS) < 0.7, rng.random(FILMS) < 0.2)
    return truth, rows, borne, Resamples(rows["patient"].to_numpy(), 100, 1)


def test_a_pair_of_mark_and_finding_is_scored_with_without_and_where_they_part(films):
    truth, rows, borne, resamples = films
    scored = score_marks(truth, rows, {"drain": borne}, resamples)["drain"]
    known, given, pair = truth["Mass"], rows["Mass"], scored["Mass"]
    assert pair["share_of_positives"] == pytest.approx(borne[known].mean())
    assert pair["share_of_negatives"] == pytest.approx(borne[~known].mean())
    for name, chosen in {
        "all": np.ones(FILMS, bool),
        "with_mark": borne,
        "without_mark": ~borne,
        "broken": known != borne,
    }.items():
        expected = roc_auc_score(known[chosen], given[chosen])
        assert pair[name]["value"] == pytest.approx(expected, abs=1e-12), name
        assert pair[name]["low"] < expected < pair[name]["high"]
        assert pair[name]["positives"] == known[chosen].sum()
    assert pair["mark_alone"]["value"] == pytest.approx(roc_auc_score(known, borne), abs=1e-12)
    drop = pair["all"]["value"] - pair["broken"]["value"]
    assert pair["drop"]["value"] == pytest.approx(drop, abs=1e-12)
    assert pair["drop"]["low"] < drop < pair["drop"]["high"]
    assert "Hernia" not in scored


def test_a_mark_that_speaks_against_a_finding_is_broken_the_other_way(films):
    truth, rows, borne, resamples = films
    known = truth["Mass"].to_numpy()
    pair = score_marks(truth, rows, {"site": ~borne}, resamples)["site"]["Mass"]
    chosen = known != borne
    assert pair["broken"]["value"] == pytest.approx(
        roc_auc_score(known[chosen], rows["Mass"][chosen]), abs=1e-12
    )


def test_too_few_films_behind_a_pair_are_null_or_left_out(films):
    truth, rows, _, resamples = films
    always = truth["Mass"].to_numpy()  # no positive is without the mark
    marks = {"drain": always, "line": np.arange(FILMS) < 4}
    scores = score_marks(truth, rows, marks, resamples)
    assert scores["line"] == {}
    pair = scores["drain"]["Mass"]
    assert pair["mark_alone"]["value"] == 1
    for name in ("with_mark", "without_mark", "broken", "drop"):
        assert (pair[name]["value"], pair[name]["low"]) == (None, None)


def test_a_list_of_marks_is_read_for_the_films_that_are_scored(tmp_path):
    path = tmp_path / "marks.csv"
    path.write_text("image,mark\na.png,drain\nb.png,drain\nelsewhere.png,line\n")
    marks = read_marks(path, ["b.png", "c.png", "a.png"])
    assert marks["drain"].tolist() == [True, False, True] and not marks["line"].any()
    path.write_text("image,mark\n")
    assert read_marks(path, ["a.png"]) == {}
