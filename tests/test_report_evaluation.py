"""The sections on evaluation, of made-up results: what is shown is what was scored, and no more."""

import html
import re

import numpy as np
import pandas as pd
import pytest

import made_up_scores as made
from ribcage.findings import FINDINGS
from ribcage.report import (
    calibration,
    comparison,
    curves,
    experts,
    imports,
    literature,
    outcome,
    results,
    shortcuts,
    strata,
    validity,
    weighting,
)
from ribcage.report.cells import change, is_sure, scored, signed, span
from ribcage.report.charts import Band, Line, chart, style_of
from ribcage.report.dots import Dot, Group, dots
from ribcage.report.groups import gaps
from ribcage.report.render import render

NAMES = ("plain", "heavy", "whole")
CARD = {
    "id": "map-1",
    "film": {"id": "film-0", "src": "data:x", "width": 32, "height": 24, "lungs": []},
    "heat": "data:x",
    "boxes": [],
    "crop": [0, 0, 24],
    "peak": (7.0, 7.0),
    "finding": "Mass",
    "outcome": "false positive",
    "kind": "wrong",
    "kind_words": "wrong",
    "alt": "a map",
    "plain_alt": "Film <b>.png",
    "facts": [("film", "<b>.png"), ("experts", "not seen")],
    "data": {"experiment": "plain", "finding": "Mass"},
}
SIDES = {name: {"films": 3000, "patients": 1000} for name in ("train", "val", "test", "all")}
SECTIONS = ("scores", "comparison", "strata", "shortcuts", "experts")


def rendered(those, pairs, blind, published, imported=(), films=(), split="official", kind="nih"):
    """All sections, as the page has them."""
    parts = {
        "results": results.results(those, blind, pairs, imported),
        "imports": imports.section(imported),
        "calibration": calibration.section(those, imported),
        "strata": strata.section(those),
        "comparison": comparison.section(those, pairs, blind),
        "experts": experts.section(those, list(films), made.BOUNDS, kind, imported),
        "literature": literature.section(those, published, split, kind, True, "v2020"),
        "shortcuts": shortcuts.section(those),
    }
    return "".join(render(f"sections_{name}.html", **parts) for name in SECTIONS)


def page(those, imported=(), films=(), split="official", source="phantom", blind=None):
    """All sections of made-up results, as a reader sees them."""
    given = made.comparison(those), blind or made.baseline(), made.published()
    return html.unescape(rendered(those, *given, imported, films, split, source))


def part(shown, anchor):
    return shown.split(f'<section id="{anchor}">')[1].split("</section>")[0]


@pytest.fixture(scope="module")
def three():
    return made.experiments()


@pytest.fixture(scope="module")
def shown(three):
    return page(three)


def undefined(held):
    """The same results with every metric undefined."""
    if isinstance(held, dict):
        lost = {k: None for k in held if k in ("value", "low", "high", "expected", "threshold")}
        return {k: undefined(v) for k, v in held.items()} | lost
    return held


def test_values_are_read_with_their_intervals():
    row = made.row(0.8534, 0.0125)
    assert span(row) == "0.853 (0.841–0.866)"
    assert span({**row, "low": None}) == "0.853" and span(made.row(None)) == "undefined"
    assert change(made.row(-0.012, 0.02)) == "−0.012 (−0.032 to +0.008)"
    assert signed(-0.0004) == "0.000" and change(None) == "undefined"
    few = made.row(0.9, positives=12, patients=19)
    assert scored(few, "Hernia") == "too few: 19 patients" and scored(few, "macro")[0] == "0"
    assert is_sure(made.row(0.03)) and not is_sure(made.row(0.01)) and not is_sure(made.row(None))


def test_every_section_says_one_sentence_a_figure_and_escapes_all(three):
    those = made.experiments(("<script>plain", "heavy", "whole"))
    imported = [made.imported("<i>theirs", test=12)]
    pairs, blind = made.comparison(those), made.baseline()
    text = rendered(those, pairs, blind, made.published(), imported, [CARD])
    for hostile in (
        "<script",
        "<i>theirs",
        "<theirs>",
        "<own>",
        "<journal>",
        "<small>.",
        "<b>.png",
    ):
        assert hostile not in text
        assert html.escape(hostile) in text
    for anchor in ("results", "calibration", "strata", "comparison", "experts", "literature"):
        assert text.count(f'<section id="{anchor}">') == 1
    pictures = re.findall(r"<figure[^>]*><svg.*?</figure>", text, re.S)
    assert len(pictures) > 40
    for picture in pictures:
        assert len(picture.split("<figcaption>")[1]) > 20
    assert 'aria-label=""' not in text and "nan" not in re.sub(r"[a-z]*nan[a-z]+", "", text)


def test_the_page_stays_small(three, shown):
    assert len(shown) < 750_000
    assert len(re.findall(r'class="band e\d"', shown)) < 3 * 2 * 3 + 2 * 2 * 14 + 14 + 1
    assert shown.count('class="band') < 3 * 3 + 3 * 3 * 14 + 1


def test_the_tables_show_what_was_scored(three, shown):
    section = part(shown, "results")
    for one in three:
        test = one["metrics"]["splits"]["test"]
        for name in ("Mass", "macro", "micro"):
            assert f"<td>{span(test[name]['auroc'])}</td>" in section
            assert f"<td>{span(test[name]['ap'])}</td>" in section
        assert span(test["macro"]["auroc_patient_weighted"]) in section
        assert span(test["macro"]["ap_balanced"]) in section
    hernia = three[0]["metrics"]["splits"]["test"]["Hernia"]
    assert span(hernia["auroc"]) not in section and "too few: 8 patients" in section
    blind = made.baseline()["Mass"]["auroc"]
    assert f"<td>{span(blind)}</td>" in section
    assert "1.53 times those of DeLong's" in section
    assert "plain makes 360 calls" in section


def test_the_best_is_chosen_on_validation(three):
    assert results.results(three, made.baseline(), made.comparison(three))["sentence"].startswith(
        "plain ranks"
    )
    three[2]["metrics"]["splits"]["val"]["macro"]["auroc"]["value"] += 0.1
    try:
        assert outcome.best_of(three)["name"] == "whole"
    finally:
        three[2]["metrics"]["splits"]["val"]["macro"]["auroc"]["value"] -= 0.1


def test_the_headline_has_the_baseline_and_the_two_splits_beside_it(three):
    looks = made.comparison(three)["against_baseline"]
    head = outcome.head(three, made.baseline(), looks, SIDES, "official", "nih")
    cards = head["cards"]
    assert [card["value"] for card in cards] == ["0.800", "0.620", "+0.030", "3,000", "3"]
    assert cards[0]["range"] == "0.770–0.830" and cards[2]["range"] == "+0.010 to +0.050"
    assert "+0.020 of it is who is on the films" in cards[2]["label"]
    assert outcome.looking(three[0], looks["plain"]) in head["sentence"]
    assert head["two_splits"] == "The gap is <small>." and "Hernia" in head["warnings"][0]
    lone = [{**three[0], "metrics": {**three[0]["metrics"], "case_mix": None}}]
    head = outcome.head(lone, made.baseline(), {}, SIDES, "official", "nih")
    assert len(head["cards"]) == 4 and not head["two_splits"]
    assert "Looking" not in head["sentence"]
    part_mix = {**three[0]["metrics"]["case_mix"], "findings": 7}
    lone = [{**three[0], "metrics": {**three[0]["metrics"], "case_mix": part_mix}}]
    head = outcome.head(lone, made.baseline(), looks, SIDES, "official", "nih")
    assert len(head["cards"]) == 4 and head["two_splits"]  # of half the findings: words alone


def test_what_weighting_does_is_said_from_the_numbers(three):
    pairs = made.comparison(three)["pairs"]
    said = weighting.sentence(three, pairs)
    assert "these films cannot tell whether the ranking moves. " in said
    assert "0.250 with the weights and 0.020 without, the mean of the findings, where" in said
    assert "would show 0.012 and 0.012 by chance: calibration breaks" in said
    assert "0.155 by temperature, 0.036 by prior correction: neither mends it" in said
    turned = [weighting.difference(pairs, p["other"], p["one"]) for p in pairs]
    assert weighting.sentence(three, turned) == said
    assert turned[0]["auroc"]["macro"]["low"] == -pairs[0]["auroc"]["macro"]["high"]
    assert weighting.difference(pairs, "plain", "nobody") is None
    assert not weighting.sentence([three[0], three[2]], pairs) and not weighting.sentence(three, [])


@pytest.mark.parametrize(
    ("value", "half", "error", "prior", "said"),
    [
        (0.03, 0.01, 0.25, 0.02, ("the ranking gets better.", "prior correction mends it")),
        (-0.03, 0.01, 0.025, 0.02, ("the ranking gets worse.", "does not break calibration")),
        (-0.006, 0.012, 0.25, 0.03, ("cannot tell whether", "prior correction mends it")),
        (
            -0.006,
            0.002,
            None,
            0.02,
            ("the ranking as a whole hardly moves.", "Calibration is undefined"),
        ),
    ],
)
def test_each_outcome_of_weighting_has_its_words(value, half, error, prior, said):
    both = made.experiments()[:2]
    macro = both[1]["metrics"]["splits"]["test"]["macro"]
    macro["ece"]["value"], macro["ece_prior"]["value"] = error, prior
    pairs = made.comparison(both)["pairs"]
    pairs[0]["auroc"]["macro"] = made.row(-value, half)
    text = weighting.sentence(both, pairs)
    assert all(words in text for words in said)


def test_a_ranking_that_moves_at_its_top_alone_is_not_said_to_stay():
    both = made.experiments()[:2]
    pairs = made.comparison(both)["pairs"]
    pairs[0]["auroc"]["macro"] = made.row(0.001, 0.004)
    pairs[0]["ap"]["macro"] = made.row(0.04, 0.02)
    said = weighting.sentence(both, pairs)
    assert "as a whole hardly moves, but among the highest scores it gets worse." in said
    pairs[0]["ap"]["macro"] = made.row(0.005, 0.002)
    assert "among the highest" not in weighting.sentence(both, pairs)


def test_means_over_other_findings_are_not_held_against_each_other():
    both = made.experiments()[:2]
    macro = both[1]["metrics"]["splits"]["test"]["macro"]
    for name in ("ece_temperature", "ece_prior"):
        macro[name]["findings"] = 5
    said = weighting.sentence(both, made.comparison(both)["pairs"])
    assert "over 5 of the 14 findings alone, so that this does not compare" in said
    assert "mend" not in said
    rows = calibration.section(both)["table"].rows
    assert rows[1][2].endswith(", over 5") and ", over" not in rows[0][2]
    assert str(calibration.section(both)["figure"].chart).count("after temperature") == 1
    macro["ece"]["findings"] = 13
    said = weighting.sentence(both, made.comparison(both)["pairs"])
    assert "means over 13 and 14 findings, which do not compare" in said


def test_calibration_is_held_against_chance(three, shown):
    section = part(shown, "calibration")
    assert "off by 0.020 (0.016–0.024) on average" in section
    assert (
        "would show 0.012 by chance, and this is at least 1.5 times that, so this is more"
        in section
    )
    assert "<td>1.21</td>" in section and "0.155 (0.151–0.159)" in section
    calm = made.experiments()
    calm[0]["metrics"]["splits"]["test"]["macro"]["ece"]["expected"] = 0.019
    assert (
        "less than 1.5 times that, so no miscalibration is claimed"
        in calibration.section(calm)["sentence"]
    )


def test_gaps_are_shown_with_what_chance_would_do(shown):
    section = part(shown, "strata")
    assert "The largest sure gap is at view position: AP" in section
    assert "chance alone would make about" in section
    assert "80+" in section and "too few: 9 patients" in section
    assert "share that is missed at 90 % specificity on validation" in section
    assert "the AUROC changes by −0.030 on average" in section
    assert "so weighted, the 900 films are worth 612" in section
    assert "<td>unknown</td>" in section


def test_a_run_without_devices_says_so():
    those = made.experiments()
    for one in those:
        one["strata"] = one["strata"][one["strata"]["variable"] != "device"]
    found = strata.section(those)
    assert "has no list of devices" in found["device"]
    empty = [{**one, "strata": one["strata"].head(0)} for one in those]
    found = strata.section(empty)
    assert not found["figures"] and found["sentence"].startswith("No group of films")


def test_what_looking_and_the_lungs_are_worth_is_said(three, shown):
    section = part(shown, "comparison")
    assert "Looking at the film with plain adds +0.180 (+0.150 to +0.210), more than" in section
    assert "for 3 of 3 experiments beyond doubt of chance" in section
    assert section.count("too few: 8 patients") == 1 + 3 * 2
    assert "Of 3 pairs, 2 differ in macro AUROC by more than chance may" in section
    table = comparison.section(three, made.comparison(three), made.baseline())["views"]["table"]
    assert [row[:4] for row in table.rows] == [["lungs", "full", "plain", "whole"]]
    alone = comparison.section(three[:1], made.comparison(three[:1]), made.baseline())
    assert "No two experiments" in alone["views"]["sentence"] and not alone["findings"]
    assert alone["pairs_sentence"] == "There are no two experiments to compare."
    blank = made.experiments()
    blank[2]["settings"]["view"] = "no_lungs"
    found = comparison.section(blank, made.comparison(blank), made.baseline())
    assert "Without lungs whole still reaches a macro AUROC of" in found["views"]["sentence"]


def test_a_pair_with_an_import_does_not_claim_equal_settings(three):
    pairs = made.comparison(three)
    pairs["pairs"][0] |= {"other": "theirs", "differs": []}
    found = comparison.section(three, pairs, made.baseline())
    assert found["pairs"].rows[0][2] == "unknown: imported"


def test_experts_or_what_is_known_of_them_is_shown(three, shown):
    section = part(shown, "experts")
    assert "700 of 810 films are test films of this run" in section
    assert "NIH's labels find 30 % of what the radiologists see" in section
    assert (
        "reaches a mean AUROC of 0.800 (0.780–0.820). It is a yardstick, not a limit: a vote"
        in section
    )
    assert "(mean of 13 findings), and 30 % of what they name is seen (mean of 13)" in section
    assert "five radiologists read" not in section and "Gallery" not in section
    assert "Fracture has no counterpart" in section
    without = [{**one, "metrics": {**one["metrics"], "experts": {}}} for one in three]
    section = part(page(without, films=[CARD]), "experts")
    assert "This run has no radiologists' readings" in section
    assert "mean AUROC of 0.80 against the fifth, over the 13 findings that" in section
    assert section.count("too few: 5 films") == 3
    assert "Gallery of 1 maps" in section


@pytest.mark.parametrize(
    ("split", "source", "whole", "version", "own"),
    [
        ("official", "nih", True, "v2020", [3, 0]),
        ("official", "nih", False, "v2020", [0, 0]),
        ("official", "nih", True, "part of v2020", [0, 0]),
        ("random", "nih", False, "2017-11-22 or v2020", [0, 3]),
        ("kfold", "nih", False, "v2020", [0, 3]),
        ("random", "nih", False, "part of v2020", [0, 0]),
        ("random", "nih", False, "other", [0, 0]),
        ("leaky_by_image", "nih", False, "v2020", [0, 0]),
        ("official", "phantom", True, "phantom", [0, 0]),
        ("random", "local", True, "other", [0, 0]),
    ],
)
def test_a_run_stands_beside_its_own_kind_of_split_alone(three, split, source, whole, version, own):
    found = literature.section(three, made.published(), split, source, whole, version)
    rows = [[row[0] for row in one["table"].rows] for one in found["tables"]]
    assert [sum(name.startswith("this run") for name in names) for names in rows] == own
    assert "Some (2019)" in rows[0] and "Others (2019) *" in rows[1]
    assert not any("Others" in name for name in rows[0])
    assert all(one["means"].header == ["study", "model", "mean"] for one in found["tables"])
    study, _, _, notes = found["tables"][1]["sources"].rows[0]
    assert study == "Others (2019), arXiv:1"
    assert notes == "* Second hand. † The mean is computed from its rows. its <own> split"
    assert found["tables"][0]["table"].rows[-1][2:4] == ["0.8000 †", "0.8000"]
    assert ("first rows of the table" in found["sentence"]) is any(own)
    assert ("of one patient on two sides" in found["sentence"]) is (split == "leaky_by_image")


def test_imports_are_columns_and_flagged(three):
    known = made.imported(test=0)
    leaky = made.imported("leaky", "e4", test=12)
    section = part(page(three, [known, leaky]), "results")
    assert section.count("<td>" + span(leaky["metrics"]["splits"]["test"]["Mass"]["auroc"])) >= 2
    warnings = re.findall(r'<p class="warning">(.*?)</p>', section)
    assert warnings == ["leaky: leaky has learnt from 12 of these films."]
    assert "2 files of predictions made elsewhere stand beside" in section
    assert '<p class="soft">theirs: theirs has learnt from 0 of these films.</p>' in section
    assert "imported.html" not in section
    means = results.results(three, made.baseline(), made.comparison(three), [known])
    assert {row[0] for row in means["operating"]["means"].rows} == {"plain", "heavy", "whole"}
    table = calibration.section(three, [known])["table"].rows[-1]
    assert table[0] == "theirs" and table[2] == "not fitted"
    assert imports.section([])["sentence"] == ""


def test_an_import_of_other_films_stands_on_a_page_of_its_own(three):
    away = made.imported("<b>away", "e4", test=12, same_films=False)
    section = part(page(three, imports.beside([away])), "results")
    assert "&lt;b&gt;away" not in section and "<b>away" not in section
    assert [row[0] for row in calibration.section(three, [])["table"].rows] == list(NAMES)
    told = imports.section([away, made.imported(same_films=True)])
    assert told["away"] == ("<b>away was judged on other films, so it stands on a page of its own:")
    assert told["sentence"].startswith("1 file of predictions made elsewhere stands beside")
    assert [row[0] for row in told["table"].rows] == ["theirs"] and not told["warnings"]


def test_the_page_of_imports_mixes_none_with_another():
    blind = made.baseline()
    away, here = made.imported("away", same_films=False), made.imported("here", "e4")
    text = html.unescape(imports.page([away, here], blind))
    anchors = re.findall(r'<section id="(.*?)">', text)
    assert text.count("<h1") == 1 and ": away</a></h2>" in text
    assert anchors == [f"{name}-{n}" for n in (1, 2) for name, _ in imports.CONTENTS]
    assert 'href="#results-1">away</a>' in text and 'href="#results-2">here</a>' in text
    first, second = part(text, "results-1"), part(text, "results-2")
    value = span(blind["Mass"]["auroc"])
    assert value not in first and value in second
    assert "lies clear of it" not in first and "lies clear of it" in second
    assert "so that it is not set beside this one" in first
    assert "here" not in re.findall("[a-z]+: macro", first) and "beside this" not in second
    assert "No threshold" not in first and "nothing is called" in first
    assert "not fitted" not in part(text, "calibration-1")
    assert "after temperature" not in part(text, "calibration-1")
    alone = html.unescape(imports.page([away], blind))
    assert re.findall(r'<section id="(.*?)">', alone) == [name for name, _ in imports.CONTENTS]
    assert "1 file of predictions made elsewhere is scored here" in alone
    assert "Nothing is imported" in imports.page([], blind)


def rare(one, patients=5):
    """The same results on so few patients that nothing can be told."""
    if isinstance(one, dict):
        cells = {name: rare(cell, patients) for name, cell in one.items()}
        return cells | ({"patients": patients} if "patients" in one else {})
    return one


def test_nothing_is_claimed_of_too_few_patients(three):
    those = [
        {**one, "metrics": rare(one["metrics"]), "strata": one["strata"].assign(patients=5)}
        for one in three
    ]
    pairs, blind = rare(made.comparison(three)), rare(made.baseline())
    pairs["pairs"] = [rare(pair) for pair in made.comparison(three)["pairs"]]
    text = html.unescape(rendered(those, pairs, blind, []))
    for claim in ("beyond doubt", "more than chance may", "sure gap", "so this is more", "0 of 0"):
        assert claim not in text
    assert "hardly moves" not in text and "agrees better" not in text and "Of 0" not in text
    assert text.count("too few patients with each finding to tell") > 6
    head = outcome.head(those, blind, pairs["against_baseline"], SIDES, "official", "nih")
    assert "0.8" not in head["sentence"] and head["cards"][0]["value"] == "too few"


def test_one_finding_that_can_be_judged_is_not_the_best_and_the_worst():
    (one, *_) = made.experiments()
    test = one["metrics"]["splits"]["test"]
    for finding in FINDINGS[1:]:
        test[finding]["auroc"]["patients"] = 1
    said = results.results([one], made.baseline(), {"pairs": []})["sentence"]
    assert said.startswith("Atelectasis alone is on enough patients to be judged")
    assert "too few: 1 patient<" in page([one])


def test_a_gap_between_two_groups_is_counted_once():
    rows = [("sex", "F", 0.02), ("sex", "M", -0.02), ("age_years", "0-17", 0.1)]
    rows += [("age_years", "18-39", 0.01), ("age_years", "40-59", -0.07)]
    table = [
        {"variable": of, "group": group, "class": name, "metric": metric, "patients": 30}
        | {"value": 0.8, "gap": gap, "gap_low": gap - 0.01, "gap_high": gap + 0.01}
        for of, group, gap in rows
        for name in ("Mass", "macro")
        for metric in ("auroc",)
    ]
    assert [row["group"] for row in gaps(table)][::2] == ["M", "0-17", "18-39", "40-59"]
    missed = [{**row, "metric": "miss_rate"} for row in table]
    assert [row["group"] for row in gaps(missed)][::2] == ["F", "0-17", "18-39", "40-59"]
    few = [{**row, "patients": 9} if row["class"] == "Mass" else row for row in table]
    assert not gaps(few)


def test_the_card_names_the_case_mix_only_where_it_is_seen(three):
    for value, gap, named in ((0.02, 0.03, True), (0.005, 0.03, False), (-0.02, 0.03, False)):
        mix = made.case_mix() | {"case_mix": made.row(value, 0.01), "gap": made.row(gap, 0.02)}
        one = {**three[0], "metrics": {**three[0]["metrics"], "case_mix": mix}}
        label = outcome.head([one], made.baseline(), {}, SIDES, "official", "nih")["cards"][2][
            "label"
        ]
        assert ("who is on the films" in label) is named


def test_small_pictures_show_those_alone_who_can_be_judged(three):
    group = made.experiments()[:2]
    group[1]["metrics"]["splits"]["test"]["Mass"]["auroc"]["value"] = None
    figure = next(f for f in curves.small(group, "roc") if f.caption.startswith("Mass"))
    assert figure.caption.endswith("; undefined") and str(figure.chart).count("line e") == 1


def test_bands_are_of_the_macro_curve_alone(three):
    names = ("Macro AUROC", "Macro average precision", "Pooled calibration error")
    for figure, metric in zip(curves.figures(three, "64 px, <lungs>"), names, strict=True):
        assert str(figure.chart).count('class="band') == 3
        assert figure.caption.startswith(metric)
        assert figure.name.endswith("-64-px-lungs")
        shown = set(figure.chart.data["series"])
        assert {f"{name}, 95 % band" for name in shown} & shown


def test_more_experiments_than_colours_are_told_apart():
    assert [style_of(number) for number in (0, 7, 8)] == ["e0", "e7", "e0 again"]
    many = [made.judged(f"n{n}", style_of(n)) for n in range(9)]
    found = results.results(many, None, {"pairs": []})
    assert "come again" in found["legend_note"]


def test_seeds_are_compared_where_there_are_any(three):
    one = results.results(three, made.baseline(), made.comparison(three))["seeds"]
    assert "There is one seed" in one["sentence"] and not one["table"].rows
    more = made.experiments(seeds=(1, 2))
    found = results.results(more, made.baseline(), made.comparison(more))["seeds"]["table"]
    assert found.rows[0][:6] == ["plain", 2, "0.800", "0.003", "0.797", "0.804"]


def test_what_is_undefined_is_said_and_nothing_breaks(three):
    lost = [{**one, "metrics": undefined(one["metrics"])} for one in three]
    for one in lost:
        one["curves"] = one["curves"].head(0)
        columns = ["value", "low", "high", "gap", "gap_low", "gap_high"]
        one["strata"] = one["strata"].assign(**dict.fromkeys(columns, np.nan))
        one["metrics"]["case_mix"] |= {"findings": 0, "effective_films": None, "covariates": []}
        for finding in FINDINGS:
            held = one["metrics"]["splits"]["test"][finding]["auroc"]
            held |= {"se_delong": None, "se_clustered": None}
    blind = undefined(made.baseline())
    head = outcome.head(lost, blind, {}, SIDES, "official", "local")
    assert "undefined" in head["sentence"] and len(head["cards"]) == 4
    found = made.comparison(three)
    pairs = undefined(found) | {"pairs": [undefined(pair) for pair in found["pairs"]]}
    text = rendered(lost, pairs, blind, [])
    assert "undefined" in text and "nan" not in re.sub(r"[a-z]*nan[a-z]+", "", text)


def test_a_band_is_the_area_between_two_curves():
    x = np.array([0, 0.5, np.nan, 1])
    band = Band("b", x, np.array([0, 0.2, 0.3, 2]), np.array([0.1, 0.4, 0.5, 3]), "e1")
    drawn = str(chart([Line("a", x, x, "e1", dotted=True)], "x", "y", "title", bands=[band]))
    (path,) = re.findall(r'<path class="band e1" d="M(.*?)Z"><title>b</title></path>', drawn)
    assert path.count("L") == 5 and "nan" not in drawn
    assert drawn.index("band e1") < drawn.index("line e1") and drawn.count("<circle") == 3
    alone = Band("b", np.zeros(1), np.zeros(1), np.ones(1), "e1")
    assert "band" not in str(chart([], "x", "y", "title", bands=[alone]))


def test_the_check_of_readers_answers_its_question():
    own = made.experts()
    for question, scores in own["four"].items():
        scores["model_on_labels"]["patients"] = 5 if question == "Pneumothorax" else 50
    best = {"metrics": {"experts": own}}
    said = validity._readers(best)
    assert (
        "macro AUROC 0.820 against the radiologists, 0.790 against the labels of the same films, "
        "over 2 findings."
    ) in said
    for scores in own["four"].values():
        scores["model_on_experts"]["patients"] = 5
    assert "radiologists' agreement: too few patients with each finding" in validity._readers(best)
    assert validity._readers({"metrics": {"experts": {}}}).startswith("Not known")


def test_dots_stand_on_their_intervals():
    one = Dot("one", 0.8, 0.7, 0.9, "e0")
    bare = Dot("<bare>", 0.6, np.nan, np.nan, "plain")
    groups = [Group("Sex", []), Group("F", [one, bare]), Group("M" * 40, [], "too few: 3 patients")]
    drawn = str(dots(groups, "AUROC", "a title", 0.5))
    (start, end) = map(
        float, re.findall(r'class="whisker e0" d="M([\d.]+) [\d.]+H([\d.]+)"', drawn)[0]
    )
    centre, other = (float(x) for x in re.findall(r'<circle[^>]*cx="([\d.]+)"', drawn))
    assert start < centre < end <= 420 and abs(centre - (start + end) / 2) < 0.11 and other < start
    assert drawn.count("whisker") == 1 and "&lt;bare&gt;: 0.600</title>" in drawn
    assert "one: 0.800 (0.700 to 0.900)" in drawn and "too few: 3 patients" in drawn
    assert "M" * 29 + "…" in drawn and "M" * 30 not in drawn
    assert "<circle" not in str(dots([Group("a", [], "undefined")], "x", "t"))
    low = str(dots([Group("a", [Dot("a", 0.01, 0.0, 0.2, "e0")])], "ECE", "t", 0, 0))
    assert re.findall(r'<text class="tick"[^>]*>(.*?)</text>', low)[0] == "0" and "M20.7 12V" in low


def test_strata_read_from_a_file_say_the_same(three, tmp_path):
    path = tmp_path / "strata.csv"
    three[0]["strata"].to_csv(path, index=False, float_format="%.6g")
    again = [{**three[0], "strata": pd.read_csv(path)}, *three[1:]]
    assert strata.section(again)["sentence"] == strata.section(three)["sentence"]
