import html
import re

import numpy as np
import pandas as pd
import pytest

from made_up import HOSTILE
from made_up_cams import BOXED, POINTING, overlap_of, pointing_of, sanity_of, write_cams
from ribcage.findings import FINDINGS
from ribcage.literature import NIH_BOXES, published_boxes
from ribcage.report import cams, cards, doubts, explanation, overlap, pointing
from ribcage.report.render import render

ENOUGH = {"films": 60, "patients": 50, "boxes": 62, "hits": 24}
BINS = pd.DataFrame(
    {
        "split": ["test", "test", "test", "val"],
        "class": "Mass",
        "curve": "reliability",
        "x": [0.01, 0.5, 0.9, 0.88],
        "y": [0.0, 0.4, 0.75, 0.1],
        "low": [np.nan, 0.3, 0.6, 0.0],
        "high": [np.nan, 0.5, 0.9, 0.2],
        "films": [40, 40, 40, 40],
    }
)


def people_of(images):
    known = {"age_years": 50.0, "sex": "F", "view_position": "PA", **dict.fromkeys(FINDINGS, False)}
    return pd.DataFrame([{"image": image, **known} for image in images])


def experiment(folder, name="one", score=0.8, **made):
    """An experiment whose cams folder is made up, with what the section asks of it."""
    rows = made.pop("shown", [{"image": "a.png"}])
    write_cams(folder / name, rows, **made)
    return {
        "name": name,
        "style": "e0",
        "cams": folder / name,
        "curves": BINS,
        "metrics": {"splits": {"val": {"macro": {"auroc": {"value": score}}}}},
    }


def judged(folder, **changes):
    """The maps of an experiment whose rows `All` and `Mass` are changed."""
    row = ENOUGH | changes
    folder.mkdir()
    return cams.read(experiment(folder, pointing=pointing_of({"Mass": row, "All": row})))


def section(those, images=("a.png",), kind="phantom", others=9):
    pool = cards.Pool()
    people = people_of(images)
    every = [cams.read(one) for one in those]
    found = explanation.section(those, every, people, published_boxes(), kind, pool, others)
    page = render("sections_explanation.html", explanation=found)
    page += render("pool.html", pool=pool.films.values())
    return found, html.unescape(page), page


def test_the_verdict_is_that_of_the_interval(tmp_path):
    better = judged(tmp_path / "1", over_mean_place=0.2, over_low=0.05, over_high=0.35)
    assert "the maps do better by +20 (+5 to +35) points" in pointing.sentence(better)
    assert pointing.by_finding(better) == "Better than its mean place beyond chance: Mass."
    alike = judged(tmp_path / "2")
    assert "of −10 (−30 to +10) points may be chance" in pointing.sentence(alike)
    assert "Read them with doubt" in pointing.sentence(alike)
    worse = judged(tmp_path / "3", over_mean_place=-0.2, over_low=-0.3, over_high=-0.1)
    assert "the maps do worse, by −20 (−30 to −10) points" in pointing.sentence(worse)
    bare = judged(tmp_path / "4", over_low=np.nan, over_high=np.nan)
    assert pointing.verdict(bare.points()) == "undefined"
    assert pointing.sentence(bare).endswith("no verdict, for want of an interval.")


def test_no_verdict_where_few_patients_stand_behind_it(tmp_path):
    few = judged(tmp_path / "few", patients=19, over_low=0.05, over_high=0.35)
    assert pointing.verdict(few.points()) == "too few: 19 patients"
    assert pointing.sentence(few).endswith(
        "19 patients: too few to say whether the maps point at the finding."
    )
    assert pointing.compared([few]) is None and pointing.figures(few) == []
    found = overlap.section(few, published_boxes(), "phantom")
    assert found["figures"] == found["table"].rows == found["findings"].rows == []
    mass = next(row for row in pointing.table(few).rows if row[0] == "Mass")
    assert mass[5] == "too few: 19 patients" and "40 %" not in mass
    some = pointing_of({"Mass": ENOUGH | {"patients": 19}, "All": ENOUGH})
    hits, _ = pointing.figures(cams.read(experiment(tmp_path, "some", pointing=some)))
    assert "too few: 19 patients" in str(hits.chart) and "No finding is on enough" in hits.caption


def test_a_run_without_boxes_has_no_pointing_game(tmp_path):
    none = cams.read(experiment(tmp_path, pointing=pointing_of({})))
    assert pointing.sentence(none).startswith("No test film has a reader's box")
    assert pointing.figures(none) == [] and pointing.compared([none]) is None
    found, text, _ = section([experiment(tmp_path, "two", pointing=pointing_of({}))])
    assert "nan" not in re.sub("[a-z]*nan[a-z]+", "", text) and found["overlap"]["figures"] == []


def test_no_map_at_all_is_no_fault(tmp_path):
    made = sanity_of()
    made["randomised"] = None
    found, text, _ = section([experiment(tmp_path, shown=[], sanity=made)])
    assert found["gallery"]["count"] == 0 and "No map is shown" in text
    assert "could not be measured" in text and found["coarse"] == ""


def test_coarse_maps_are_said_to_be_coarse(tmp_path):
    nodule = BOXED | {"image": "b.png", "finding": "Nodule"}
    one = cams.read(experiment(tmp_path, shown=[{"image": "a.png"}, nodule]))
    said = pointing.coarse(one)
    assert "2 × 2 cells, of 12 film pixels" in said and "2.0 times as wide" in said
    assert "That is coarse" in said
    fine = [{"image": "a.png", "grid": 14, "cell_px": 2.0}]
    assert "coarse" not in pointing.coarse(cams.read(experiment(tmp_path, "fine", shown=fine)))
    whole = [{"image": "a.png", "grid": 1, "cell_px": 24.0}]
    assert "it points nowhere" in pointing.coarse(cams.read(experiment(tmp_path, "1", shown=whole)))


def test_methods_are_compared_and_the_highest_named(tmp_path):
    rows = pointing_of({"All": ENOUGH, "Mass": ENOUGH}, ("cam", "layer_cam"))
    higher = (rows["method"] == "layer_cam") & (rows["finding"] == "All")
    rows.loc[higher, ["pointing", "low", "high"]] = [0.7, 0.6, 0.8]
    rows.loc[higher, ["over_mean_place", "over_low", "over_high"]] = [0.2, 0.1, 0.3]
    one = cams.read(experiment(tmp_path, pointing=rows))
    found = pointing.compared([one])
    assert found["sentence"].startswith("1 of 2 pairs of an experiment and a method points")
    assert "LayerCAM of one, 70 % (60–80)" in found["sentence"]
    assert "The dotted line is the mean place of each finding, 50 %" in found["figure"].caption
    assert [row[1] for row in found["table"].rows] == ["CAM", "LayerCAM"]
    tied = rows.assign(pointing=0.7)
    said = pointing.compared([cams.read(experiment(tmp_path, "tied", pointing=tied))])["sentence"]
    assert "share have CAM of tied, 70 % (20–60); LayerCAM of tied, 70 % (60–80)" in said
    alone = pointing.compared([judged(tmp_path / "alone")])["sentence"]
    assert (
        alone
        == "One method can be judged: CAM of one, 40 % (20–60), not told apart from the mean place."
    )
    assert found["table"].rows[0][5:] == ["27 % (22–32)", "22 % (18–27)"]


def test_boxes_found_are_told_by_threshold(tmp_path):
    found = overlap.section(judged(tmp_path / "x"), published_boxes(), "phantom")
    assert (
        "At IoU over 0.1 the maps find 27 % (22–32) of 62 boxes, an interval above what a box"
        in found["sentence"]
    )
    assert "with 1.4 false boxes a film" in found["sentence"]
    iou, iobb = found["figures"]
    assert "lies above the broken line at 7 of 7 thresholds" in iou.caption
    assert "Wang" not in iou.caption and "nothing here compares" in found["published_sentence"]
    assert (iou.name, iobb.name) == ("iou-one", "iobb-one")
    assert len(found["table"].rows) == 12 and found["table"].rows[7][0] == "IoBB over 0.1"


def test_published_figures_stand_beside_ours_on_the_same_boxes_alone(tmp_path):
    rows = {f: ENOUGH | {"boxes": n} for f, n in NIH_BOXES.items()}
    whole = pointing_of(rows | {"All": ENOUGH | {"boxes": 984}})
    one = cams.read(experiment(tmp_path, pointing=whole))
    same = overlap.section(one, published_boxes(), "nih")
    assert "which are those of this run" in same["published_sentence"]
    assert same["published"].rows[0][:3] == ["one", "this run", "IoU over 0.1"]
    assert all("Wang et al. 2017" in figure.caption for figure in same["figures"])
    assert 'class="line published"' in str(same["figures"][0].chart)
    part = overlap.section(judged(tmp_path / "part"), published_boxes(), "nih")
    assert "62 of them are on this run's test films" in part["published_sentence"]
    assert part["published"].rows[0][0] == "Wang et al. 2017"
    other = overlap.section(one, published_boxes(), "local")
    assert "do not compare" in other["published_sentence"]
    assert "this run" not in [row[1] for row in other["published"].rows]


def test_maps_that_survive_random_weights_are_not_believed(tmp_path):
    good = cams.read(experiment(tmp_path, "good"))
    said = doubts.random_weights(good)
    assert "0.05 (0.01 to 0.09) with its last layer drawn anew" in said
    assert said.endswith("They follow the weights, as they must.")
    assert "40 films, 5 draws each" in said and doubts.survival(good) == ""
    bad = cams.read(experiment(tmp_path, "bad", sanity=sanity_of(head=0.1, every=0.8)))
    assert "They survive all weights drawn anew" in doubts.random_weights(bad)
    warned = [experiment(tmp_path, "warned", sanity=sanity_of(head=0.1, every=0.8))]
    assert (
        "warned: its maps survive all weights drawn anew"
        in section(warned)[0]["doubts"]["alarms"][0]
    )
    few = cams.read(experiment(tmp_path, "few", sanity=sanity_of(every=0.8, films=19)))
    assert doubts.random_weights(few).endswith("too few films for a verdict.")
    assert doubts.survival(few) == ""


@pytest.mark.parametrize(
    ("mean", "low", "high"),
    [(0.49, 0.2, 0.78), (0.51, 0.2, 0.8), (-0.9, -0.95, -0.85), (0.1, None, None)],
)
def test_an_interval_that_reaches_across_the_limit_is_no_verdict(tmp_path, mean, low, high):
    made = sanity_of()
    made["randomised"]["head"] |= {"mean": mean, "low": low, "high": high}
    one = cams.read(experiment(tmp_path, sanity=made))
    assert doubts.random_weights(one).endswith("Whether they follow the weights is not clear.")
    assert doubts.survival(one) == ""


def test_the_corner_alarm_is_a_warning(tmp_path):
    raised = experiment(tmp_path, "raised", sanity=sanity_of(alarm=True, grid=4))
    found, text, page = section([raised])
    (said,) = found["doubts"]["alarms"]
    assert "of 14 of 14 findings are hottest in the same corner, the upper left one" in said
    assert '<p class="warning">raised: the mean maps' in page
    silent = experiment(tmp_path, "silent", sanity=sanity_of(alarm=False, grid=4))
    found, text, _ = section([silent])
    assert found["doubts"]["alarms"] == [] and "No corner is shared by most findings." in text
    text = section([experiment(tmp_path, "small")])[1]
    assert "With 2 cells a side every cell is a corner" in text and "would mean nothing" in text


def test_mean_maps_of_a_rectified_method_speak_against_nothing(tmp_path):
    sanity = sanity_of(alarm=False, grid=4) | {"method": "layer_cam"}
    sanity["mean_maps"] |= {finding: np.eye(4).tolist() for finding in FINDINGS}
    sanity["mean_maps"]["Mass"] = np.zeros((4, 4)).tolist()
    judged_by = pointing_of({"All": {}}, ("layer_cam",))
    one = cams.read(experiment(tmp_path, sanity=sanity, pointing=judged_by))
    figure = doubts.mean_maps(one)
    assert "against" not in figure.caption and "logits" not in figure.chart.data
    assert "(LayerCAM) of 13 of 14 findings peak in 1 cell of 16" in figure.caption
    assert str(figure.chart).count('stroke-width="2"') == 13  # a flat map has no peak to frame
    flat = {finding: np.zeros((4, 4)).tolist() for finding in FINDINGS}
    one.sanity["mean_maps"] |= flat
    assert doubts.corner(one).startswith("No finding's mean map (LayerCAM) peaks anywhere")


def test_mean_maps_are_drawn_as_they_are(tmp_path):
    figure = doubts.mean_maps(cams.read(experiment(tmp_path)))
    assert figure.name == "mean-maps-one" and len(figure.chart.data) == 14 * 4
    assert set(figure.chart.data["logits"]) == {0.5, 0.0, -0.25}
    drawn = str(figure.chart)
    assert drawn.count('fill-opacity="1.00"') == 14 and drawn.count('fill-opacity="0.50"') == 14
    assert "peak in 1 cell of 4" in figure.caption


@pytest.mark.parametrize(
    ("outcome", "target", "kind"),
    [
        ("TP", "on", "right-on"),
        ("TP", "off", "right-off"),
        ("FN", "on", "wrong-on"),
        ("FN", "off", "wrong-off"),
        ("TN", None, "right"),
        ("FP", None, "wrong"),
    ],
)
def test_a_card_is_typed_by_outcome_and_target(outcome, target, kind):
    row = {"outcome": outcome, "target": target, "in_lungs": True, "scale": 1.0}
    row |= {"peak_x_px": 7.0, "peak_y_px": 7.0}
    assert cards.kind_of(row) == kind
    said = cards.place(row)
    if target:
        assert ("in a reader's box" in said) == (target == "on")
    assert "in the lungs" in said
    assert ("nothing to point at" in said) == (outcome in ("TN", "FP") and not target)
    silent, flat = row | {"scale": 0.0}, row | {"peak_x_px": np.nan, "peak_y_px": np.nan}
    assert cards.kind_of(silent) == cards.kind_of(flat) == kind.split("-")[0]
    assert cards.place(silent) == "none, no cell speaks for the finding"
    assert cards.place(flat) == "none, all cells are equal"


def test_a_map_that_points_nowhere_has_no_circle(tmp_path):
    nowhere = {"scale": 0.0, "peak_x_px": np.nan, "peak_y_px": np.nan, "target": None}
    shown = [{"image": "a.png"} | BOXED | nowhere]
    _, text, page = section([experiment(tmp_path, shown=shown)])
    assert "right, no cell speaks for the finding" in text and 'data-kind="right"' in page
    assert "<circle" not in page.split('class="gallery"')[1] and 'class="layer boxes"' in page
    assert not re.search(r'[cr][xy]?="nan', page)


def test_a_probability_is_told_by_films_like_it():
    bins = cards.reliability(BINS)["Mass"]
    assert cards.alike(bins, 0.875) == (
        "75 % (60–90) of the 40 test films with the nearest probabilities, "
        "0.900 on average, have the label"
    )
    assert cards.alike(bins, 0.0).startswith("0 % of the 40")
    assert cards.alike(bins.assign(films=19), 0.5) == "" and cards.alike(None, 0.5) == ""


def test_a_card_says_all_that_is_known(tmp_path):
    shown = [{"image": "a.png"} | BOXED | {"expert": True, "expert_question": "Nodule or mass"}]
    _, text, page = section([experiment(tmp_path, shown=shown)])
    assert "0.875 at a threshold of 0.250: called" in text
    assert "IoU 0.25, IoBB 0.50" in text
    assert "<dd>in a reader's box, in the lungs</dd>" in text and "Nodule or mass seen" in text
    assert "up to 1.50 logits a cell; 75 % of the map lies in the lungs, which fill 40 %" in text
    assert "F, 50 years, PA" in text and "No Finding" in text
    (card,) = re.findall(r'<figure class="card"[^>]*>', page)
    for said in ('data-kind="right-on"', 'data-outcome="TP"', 'data-why="boxed"', 'data-age="50"'):
        assert said in card
    assert '<rect x="4.0" y="4.0" width="6.0" height="6.0"/>' in page
    for layer in ("heat", "boxes", "lungs", "crop", "peak"):
        assert f'class="layer {layer}"' in page
    assert "Maps of one with a reader's box: 1 right, on target." in text


def test_a_film_is_embedded_once_for_all_experiments(tmp_path):
    rows = [{"image": "a.png"}, {"image": "a.png", "finding": "Nodule"}, {"image": "b.png"}]
    those = [experiment(tmp_path, "one", shown=rows), experiment(tmp_path, "two", 0.9, shown=rows)]
    found, _, page = section(those, ("a.png", "b.png"))
    assert page.count('<image id="film-') == 2 and page.count('class="layer heat"') == 6
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#(film-[^"]+)"', page)) <= set(ids)
    sheets = found["gallery"]["sheets"]
    assert [(s["name"], s["open"]) for s in sheets] == [("two", True), ("one", False)]
    assert '<form class="controls" hidden' in page
    assert '<option value="two" selected>' in page
    assert [c["data"]["order"] for s in sheets for f in s["findings"] for c in f["cards"]] == [
        *range(1, 7)
    ]


def test_galleries_that_would_make_the_page_too_large_are_left_out(tmp_path):
    those = [experiment(tmp_path, "one"), experiment(tmp_path, "two", 0.9)]
    found, text, _ = section(those, others=0)
    assert [sheet["name"] for sheet in found["gallery"]["sheets"]] == ["two"]
    assert "The maps of one would make this page too large" in text


def test_films_on_which_experts_disagree_have_a_gallery_of_their_own(tmp_path):
    rows = [{"image": "a.png"}, {"image": "b.png", "why": explanation.DISAGREE}]
    rows[1] |= {"expert": False, "expert_question": "Mass"}
    those = [experiment(tmp_path, shown=rows)]
    pool = cards.Pool()
    every, people = [cams.read(one) for one in those], people_of(["a.png", "b.png"])
    (card,) = explanation.disagreements(those, every, people, pool)
    assert dict(card["facts"])["experts"] == "not seen" and list(pool.films) == ["b.png"]
    found, _, _ = section(those, ("a.png", "b.png"))
    assert found["gallery"]["count"] == 1


def test_hostile_names_stay_text(tmp_path):
    shown = [{"image": "a.png", "why": HOSTILE}]
    _, _, page = section([experiment(tmp_path, "e", shown=shown) | {"name": HOSTILE}])
    turned = section([experiment(tmp_path, "t", shown=shown) | {"name": "a\u202eb\u2066"}])[2]
    assert "\u202e" not in turned and 'data-experiment="a‹U+202E›b‹U+2066›"' in turned
    assert (
        "<img" not in page
        and "<script" not in page
        and "onerror=" not in re.sub(r"&lt;.*?&gt;", "", page)
    )


def test_the_same_folder_gives_the_same_section(tmp_path):
    those = [experiment(tmp_path)]
    assert section(those)[2] == section(those)[2]


def test_made_up_numbers_have_the_columns_of_the_contract():
    assert list(POINTING) == [
        *("films", "patients", "boxes", "hits", "pointing", "low", "high"),
        *("centre", "mean_place", "best_place", "over_mean_place", "over_low", "over_high"),
    ]
    assert len(overlap_of(pointing_of({"All": {}}))) == 15 * 12
