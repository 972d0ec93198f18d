import numpy as np
import pandas as pd
import pytest

from ribcage.answers import QUESTIONS
from ribcage.findings import FINDINGS
from ribcage.gallery import OUTCOMES, Disagreement, choose, disagreements, gallery, outcomes


def ranked(score, truth):
    rows = pd.DataFrame({"image": list("abcdefghijklmnop")[: len(score)], "probability": score})
    return rows.assign(outcome=outcomes(np.array(truth, bool), np.array(score) >= 0.5))


def test_films_are_chosen_by_rule():
    rows = ranked([0.9, 0.8, 0.7, 0.95, 0.6, 0.1, 0.2, 0.1], [1, 1, 1, 0, 0, 1, 1, 0])
    assert rows["outcome"].tolist() == ["TP", "TP", "TP", "FP", "FP", "FN", "FN", "TN"]
    picks = choose(rows, {"a"}, 6, np.random.default_rng(0))
    assert picks == [
        ("a", "boxed"),
        ("b", "most confident"),
        ("d", "most wrong"),
        ("f", "most wrong"),
        ("h", "random"),
        ("c", "random"),
    ]
    assert choose(rows, set(), 2, np.random.default_rng(0)) == [
        ("a", "most confident"),
        ("d", "most wrong"),
    ]
    every = choose(rows, set(), 20, np.random.default_rng(0))
    assert len(every) == 8 == len(dict(every))


def test_boxed_films_leave_room_for_a_random_sample():
    rows = ranked([0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1] * 2, [1, 1, 1, 0, 1, 0, 0, 0] * 2)
    picks = choose(rows, set("abcijk"), 9, np.random.default_rng(0))
    assert [why for _, why in picks].count("boxed") == 3  # one, and half of four
    assert [why for _, why in picks].count("random") == 3  # a true negative, and two
    assert set(rows.set_index("image").loc[list(dict(picks)), "outcome"]) == set(OUTCOMES)


@pytest.mark.parametrize("seed", range(20))
def test_all_four_outcomes_are_shown_where_they_exist(seed):
    rng = np.random.default_rng(seed)
    rows = ranked(rng.random(16).round(3).tolist(), rng.random(16) < 0.4)
    boxed = set(rows["image"][rows["outcome"].isin(["TP", "FN"])])
    picks = choose(rows, boxed, 8, np.random.default_rng(seed))
    assert choose(rows[::-1], boxed, 8, np.random.default_rng(seed)) == picks
    assert len(picks) == 8 and len(dict(picks)) == 8
    shown = rows.set_index("image").loc[list(dict(picks)), "outcome"]
    assert set(shown) == set(rows["outcome"])


@pytest.fixture
def made():
    """Eight films whose model gives 0.01 to everything, with labels and answers to be filled in."""
    images = [f"{name}.png" for name in "abcdefgh"]
    test = pd.DataFrame({"image": images}).assign(**dict.fromkeys(FINDINGS, 0.01))
    labels = pd.DataFrame(False, index=range(8), columns=FINDINGS)
    answers = pd.DataFrame(pd.NA, index=images, columns=list(QUESTIONS), dtype="boolean")
    return test, labels, answers


AT = dict.fromkeys(FINDINGS, 0.1)


def test_the_model_sides_once_with_the_experts_and_once_with_the_label(made):
    test, labels, answers = made
    test["Edema"] = [0.2, 0.9, 0.3, 0.95, 0.05, 0.001, 0.97, 0.02]
    labels["Edema"] = [False, False, True, True, True, True, True, False]
    answers["Edema"] = [True, True, False, False, False, False, True, True]
    # With the experts: a, b (they see it, it is called), e, f (neither); f is farthest from 0.1.
    # With the label: c, d (label and call), h (neither); d is farthest. On g nobody differs.
    assert disagreements(test, labels, answers, AT) == [
        Disagreement("f.png", "Edema", "Edema"),
        Disagreement("d.png", "Edema", "Edema"),
    ]
    without = {name: at for name, at in AT.items() if name != "Edema"}
    assert disagreements(test, labels, answers, without) == []
    answers["Edema"] = pd.NA
    assert disagreements(test, labels, answers, AT) == []


def test_films_as_far_from_the_threshold_go_by_name(made):
    test, labels, answers = made
    answers["Edema"] = True
    test = test.iloc[::-1].reset_index(drop=True)
    answers = answers.iloc[::-1]
    assert disagreements(test, labels, answers, AT) == [Disagreement("a.png", "Edema", "Edema")]


def test_a_question_of_several_findings_shows_the_likeliest_of_them(made):
    test, labels, answers = made
    test.loc[2, ["Nodule", "Mass"]] = [0.3, 0.6]
    test.loc[4, ["Nodule", "Mass"]] = [0.05, 0.02]
    labels.loc[5, "Nodule"] = True
    answers["Nodule or mass"] = [False, False, True, False, True, True, False, False]
    shown = disagreements(test, labels, answers, AT)
    assert shown == [
        Disagreement("c.png", "Mass", "Nodule or mass"),
        Disagreement("e.png", "Nodule", "Nodule or mass"),
    ]
    answers.loc["c.png", "Mass"] = True  # asked by itself as well: shown once
    assert disagreements(test, labels, answers, AT)[0] == Disagreement("c.png", "Mass", "Mass")
    assert len(disagreements(test, labels, answers, AT)) == 2


def test_disputed_films_come_last_and_only_once(made, capsys):
    test, labels, answers = made
    test["Edema"] = [0.2, 0.9, 0.3, 0.95, 0.05, 0.001, 0.97, 0.02]
    labels.loc[2:6, "Edema"] = True
    answers["Edema"] = [True, True, False, False, False, False, True, True]
    test.loc[0, "Hernia"] = 0.9
    answers.loc["a.png", "Hernia"] = True
    thresholds = {finding: {"threshold": at} for finding, at in AT.items()} | {"Mass": None}
    shown = gallery(test, labels, answers, thresholds, {("d.png", "Edema"): []}, 4, 1)
    edema = shown[shown["finding"] == "Edema"]
    assert edema["image"].tolist() == ["g.png", "b.png", "e.png", "h.png", "f.png", "d.png"]
    assert edema["why"].tolist() == [
        *("most confident", "most wrong", "most wrong", "random"),
        *["experts disagree"] * 2,
    ]
    assert edema["outcome"].tolist() == ["TP", "FP", "FN", "TN", "FN", "TP"]
    assert edema["expert"].tolist() == [True, True, False, True, False, False]
    # A film that nobody labelled is shown all the same.
    hernia = shown[shown["finding"] == "Hernia"]
    assert hernia["outcome"].tolist() == ["TN"] * 4 + ["FP"]
    assert hernia["why"].tolist() == ["random"] * 4 + ["experts disagree"]
    told = shown.dropna(subset="expert_question")
    assert told["expert_question"].tolist() == [*["Edema"] * 6, "Hernia"]
    assert "Mass" not in set(shown["finding"])
    assert "Mass: not shown; no threshold" in capsys.readouterr().err


def test_without_experts_nothing_is_said_of_them(made):
    test, labels, answers = made
    labels.loc[:3, "Pneumonia"] = True
    thresholds = {"Pneumonia": {"threshold": 0.005}}
    shown = gallery(test, labels, answers, thresholds, {}, 3, 1)
    assert len(shown) == 3 and shown["expert"].isna().all()
    assert shown["expert_question"].isna().all()
    answers.loc[shown["image"], "Airspace opacity"] = True
    shown = gallery(test, labels, answers, thresholds, {}, 3, 1)
    assert shown["expert"].all() and set(shown["expert_question"]) == {"Airspace opacity"}
    empty = gallery(test, labels, answers.iloc[:0].reindex(answers.index), {}, {}, 3, 1)
    assert len(empty) == 0 and empty["expert"].dtype == "boolean"
