"""A shortcut that is planted is found by the report, and none is found where none was planted."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from ribcage.findings import FINDINGS
from ribcage.phantoms.exposure import draw_film
from ribcage.phantoms.population import Cohort, Film, Shortcut, population
from ribcage.report import shortcuts
from ribcage.tables import write_table
from score_predictions import main as score

META = {"labels_version": "other", "source_sha256": "0" * 64}
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


def said_of(folder, cohort: Cohort) -> tuple[dict, dict]:
    """Train on half of the patients, score the others, and return the report's section."""
    films = some_films(cohort)
    table = pd.DataFrame({"image": [f.name for f in films], "patient": [f.patient for f in films]})
    truth = pd.DataFrame([[f in film.findings for f in FINDINGS] for film in films])
    truth.columns = list(FINDINGS)
    write_table(pd.concat([table, truth], axis=1), folder / "curated.parquet", META)
    (folder / "tables").mkdir()
    marks = [f"{film.name},{mark}" for film in films for mark in film.marks]
    (folder / "tables" / "marks.csv").write_text("\n".join(["image,mark", *marks]) + "\n")
    seen, learning = np.stack([cut(film) for film in films]), table["patient"] % 2 == 0
    model = LogisticRegression(C=0.002, max_iter=300)
    model.fit(seen[learning], truth["Nodule"][learning])
    given = pd.DataFrame(0.5, index=table.index, columns=list(FINDINGS))
    given["Nodule"] = model.predict_proba(seen)[:, 1]
    sides = np.where(learning, "val", "test")
    rows = pd.concat([table.assign(split=sides), given], axis=1)
    (folder / "1").mkdir()
    write_table(rows, folder / "1" / "predictions.parquet", META)
    out = [folder / file for file in ("metrics.json", "curves.csv", "headline.json", "roc.csv")]
    score([folder / "1"], folder / "curated.parquet", folder / "tables", *out, "logistic")
    metrics = json.loads(out[0].read_text())
    return shortcuts.section([{"name": "logistic", "metrics": metrics}]), metrics


def test_a_planted_shortcut_is_found_and_only_where_it_was_planted(tmp_path):
    for planted in ((PLANTED,), ()):
        folder = tmp_path / str(len(planted))
        folder.mkdir()
        section, metrics = said_of(folder, Cohort(shortcuts=planted))
        pair = metrics["splits"]["test"]["marks"]["pacemaker"].get("Nodule")
        found = [said for said in section["leaning"] if "leans on pacemaker for Nodule" in said]
        assert len(found) == len(planted)
        if planted:
            assert pair["broken"]["value"] < 0.5 < pair["all"]["value"]
            assert "In 1 case a network leans on the mark" in section["sentence"]


def pair(broken: float | None, positives: int = 30, alone: float | None = 0.9) -> dict:
    def row(value: float | None, count: int) -> dict:
        return {"value": value, "positives": count, "negatives": count}

    return {
        "share_of_positives": 0.85,
        "share_of_negatives": 0.03,
        "all": row(0.9, 300),
        "without_mark": row(0.7, 100),
        "mark_alone": row(alone, 300),
        "broken": row(broken, positives),
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (pair(0.3), "leans on it"),
        (pair(0.85), "no sign"),
        (pair(0.95), "no sign"),
        (pair(0.75, positives=5), "perhaps: too few films to be sure"),
        (pair(None, positives=4), "too few films break the link to tell"),
    ],
)
def test_the_verdict_follows_the_rule_that_is_printed(given, said):
    assert shortcuts.verdict(given) == said


def test_the_standard_error_is_hanleys_and_mcneils():
    # Their example: an area of 0.893 of 58 abnormal and 51 normal images has an error of 0.032.
    assert shortcuts.standard_error(0.893, 51, 58) == pytest.approx(0.032, abs=0.001)


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
        "0.300 on those that break the link."
    ]
    assert leaning["table"].rows[0][-2:] == ["30 / 30", "leans on it"]
