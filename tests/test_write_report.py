import base64
import hashlib
import html
import itertools
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from compare_experiments import main as compare_experiments
from conftest import ROOT, predictions_of
from made_up import FILMS, HOSTILE, JUDGED, META, describe, write_tables
from made_up_cams import write_cams
from ribcage import settings
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.report import lungs, outcome, pictures, render
from ribcage.report.cells import span
from ribcage.report.charts import Line, chart, ticks
from ribcage.tables import write_table
from score_predictions import main as score
from test_score_predictions import OUTPUTS
from write_report import CONTENTS, main

SEGMENTER = {"encoder": "resnet18", "size_px": 128, "seed": 1, "settings": {"films": 9, "lr": 0.1}}
SEEN = {"weights": "foreign.safetensors", "known": False, "sentence": "Nobody <b>knows</b>."}
SEEN |= {"train": None, "val": None, "test": None}
MEASURED = {
    "phantoms": {"dice_mean": 0.975},
    "date": "2026-11-21",
    "machine": {"cpu": "a CPU", "threads": 2},
    "versions": {"python": "3.11"},
    "segmenter": {**SEGMENTER, "weights_sha256": hashlib.sha256(b"weights").hexdigest()},
    "masked": {
        "films": 40,
        "dice": {"mean": 0.901, "median": 0.91, "min": 0.7, "p25": 0.88, "p75": 0.93},
        "finder_dice": {"mean": 0.8, "median": 0.81, "min": 0.6, "p25": 0.7, "p75": 0.9},
    },
    "films": {"films": 300, "methods": {"unet": 270, "unet_ensemble": 30}, "films_per_s": 25.4},
    "hand": {"films": 100, "over": 0.02, "cutting": 2},
    "boxes": {"boxes": 6, "cut_by_crop": 0, "least_by_crop": 1.0, "least_by_box": 0.879},
}


def write_lungs(folder, images):
    """What find_lungs and draw_lungs would leave: the sixth film is taken whole."""
    found = pd.DataFrame({"image": images, "quality": 0.9, "method": "unet"})
    found.loc[5, ["quality", "method"]] = [0.25, "whole_film"]
    write_table(found, folder / "lungs.parquet", META)
    shown = pd.concat([found.iloc[[0, 1, -1]], found.iloc[[1]], found.iloc[[5]], found.iloc[[2]]])
    shown["sheet"] = ["random", "random", "random", "worst", "fallback", "cut"]
    shown["order"] = [1, 2, 3, 1, 1, 1]
    shown["picture"] = [f"{image.removesuffix('.png')}.webp" for image in shown["image"]]
    (folder / "sheets").mkdir()
    loss = pd.DataFrame([[images[2], "Mass", 0.8, 0.5], [images[3], "Mass", 1.0, 0.9]])
    loss.columns = ["image", "finding", "kept_by_crop", "kept_by_box"]
    loss.to_csv(folder / "sheets" / "box_loss.csv", index=False)
    shown.to_csv(folder / "sheets" / "sheets.csv", index=False)
    for number, picture in enumerate(shown["picture"].unique()):
        Image.new("RGB", (32, 24), (0, 50 * number, 0)).save(folder / "sheets" / picture)


def write_experiment(folder, name, table, sides):
    model = folder / "models" / name / "1"
    model.mkdir(parents=True)
    config = {"best_epoch": 2, "device": "cpu", "precision": "float32"}
    config |= {"n_train_films": 20, "n_train_patients": 20, "n_val_films": 15}
    config["seen"] = SEEN
    (model / "config.json").write_text(json.dumps(config))
    (model / "weights.safetensors").write_bytes(name.encode())
    history = {"epoch": [1, 2], "size_px": [64, 64], "samples": [50, 100], "lr": [1, 1]}
    history |= {"train_loss": [0.5, 0.4]}
    history |= {"val_loss": [0.5, 0.45], "val_auroc_macro": [0.6, 0.7]}
    pd.DataFrame(history).to_csv(model / "history.csv", index=False)
    out = folder / "reports" / name
    (out / "1").mkdir(parents=True)
    given = predictions_of(table[list(FINDINGS)].reset_index(drop=True), seed=len(name))
    people = table[["image", "patient"]].reset_index(drop=True).assign(split=sides)
    rows = pd.concat([people, given], axis=1)[sides != "train"]
    write_table(rows, out / "1" / "predictions.parquet", META)
    files = {key: out / file for key, file in OUTPUTS.items()}
    inputs = [out / "1"], folder / "curated.parquet", folder / "tables"
    score(*inputs, **files, experiment=name, settings=JUDGED)
    write_cams(out / "cams", [{"image": table["image"].iloc[-1]}])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("report"), FILMS)


def write_inputs(folder, films):
    """What all steps before the report would leave, of so many films, and the settings."""
    table, sides = write_tables(folder, films)
    describe(folder)
    write_lungs(folder, table["image"].tolist())
    (folder / "segmenter").mkdir()
    (folder / "segmenter" / "metrics.json").write_text(
        '{"dice_mean": 0.9714, "dice_min": 0.9, "films": 7}'
    )
    (folder / "segmenter" / "config.json").write_text(json.dumps(SEGMENTER))
    (folder / "segmenter" / "weights.safetensors").write_bytes(b"weights")
    history = pd.DataFrame(
        {"step": [1, 2], "samples": [16, 32], "loss": [1, 0.5], "dice": [0.8, 0.97]}
    )
    history.to_csv(folder / "segmenter" / "history.csv", index=False)
    params = settings.read(ROOT / "params.yaml")
    params["experiments"] = {
        "small": {"weighting": "unweighted"},
        "smaller": {"weighting": "weighted"},
    }
    for name in params["experiments"]:
        write_experiment(folder, name, table, sides)
    (folder / "imported").mkdir()
    (folder / "imported" / "imports.json").write_text("[]")
    compare(folder, params)
    return folder, params


def compare(folder, params):
    """What compare_experiments would leave."""
    trained = {
        name: {**params["train_classifier"], **own} for name, own in params["experiments"].items()
    }
    compare_experiments(
        predictions=[folder / "reports" / name / "predictions.parquet" for name in trained],
        scores=[folder / "reports" / name / "metrics.json" for name in trained],
        models=[folder / "models" / name / "1" for name in trained],
        baseline=folder / "baseline",
        imported=folder / "imported",
        curated=folder / "curated.parquet",
        experiments=folder / "experiments.csv",
        comparison=folder / "comparison.json",
        settings=JUDGED,
        trained=trained,
    )


def write(inputs, out, title="A test", **changes):
    folder, params = inputs
    of = [folder / "reports" / name for name in params["experiments"]]
    shutil.rmtree(out.with_suffix(""), ignore_errors=True)
    main(
        tables=folder / "tables",
        description=folder / "data",
        curated=folder / "curated.parquet",
        segmenter=folder / "segmenter",
        lungs=[folder / "lungs.parquet"],
        models=[folder / "models" / name / "1" for name in params["experiments"]],
        metrics=[path / "metrics.json" for path in of],
        cams=[path / "cams" for path in of],
        report=out,
        figures=out.with_suffix(""),
        title=title,
        settings=params,
        **{
            "max_mb": 15,
            "sheets": folder / "sheets",
            "on_real_films": folder / "none.json",
            "comparison_file": folder / "comparison.json",
            "imported": folder / "imported",
            **changes,
        },
    )
    return out.read_text()


@pytest.fixture(scope="module")
def page(inputs, tmp_path_factory):
    return write(inputs, tmp_path_factory.mktemp("page") / "index.html")


def test_every_section_is_there_in_order_and_linked(page):
    wanted = [anchor for _, parts in CONTENTS for anchor, _ in parts]
    assert re.findall('<section id="([^"]*)"', page) == wanted
    for anchor in wanted:
        assert page.count(f'href="#{anchor}"') >= 2, "in the contents and in the heading"
    first = page.split("<main")[0]
    assert "not for clinical use" in first and 'href="#limits"' in first


def test_the_page_is_one_document_with_anchors_that_hold(page):
    """One h1, headings without gaps, each id once, and no link to nothing."""
    text = re.sub(r"(?s)<style>.*?</style>|<script>.*?</script>", "", page)
    levels = [int(level) for level in re.findall("<h([1-6])", text)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', text)) <= set(ids)
    figures = re.findall(r'<figure class="figure" id="([^"]+)"', text)
    assert len(figures) > 15 and all(f'href="#{name}"' in text for name in figures)


def test_every_table_can_be_read_aloud_and_reached_by_key(page):
    text = re.sub(r"(?s)<style>.*?</style>", "", page)
    boxes = re.findall(r'<div class="scroll" tabindex="0" role="group" aria-label="([^"]+)"', text)
    assert len(boxes) == text.count("<table") and all(boxes)
    assert "<th>" not in text and '<th scope="row"' in text
    assert not re.findall(r'<th scope="col"[^>]*></th>', text)


class Names(HTMLParser):
    """The names of all attributes of a page."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attrs):
        self.found |= {name for name, _ in attrs}


def test_the_page_runs_and_loads_nothing_but_its_own(page):
    policy = html.unescape(re.findall('Content-Security-Policy" content="([^"]*)"', page)[0])
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; ")
    (script,) = re.findall("(?s)<script>(.*?)</script>", page)
    assert script == render.joined(render.SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "unsafe-eval" not in policy
    names = Names()
    names.feed(page)
    assert not [name for name in names.found if name.startswith("on")], "no handler in an attribute"


def test_dark_is_the_same_by_the_system_and_by_the_button():
    style = (render.TEMPLATES / "style.css").read_text()
    dark = re.findall(r"(?s)color-scheme: dark;(.*?)}", style)
    assert len(dark) == 2 and dark[0].split() == dark[1].split()
    names = set(re.findall(r"(--[a-z0-9-]+):", dark[0]))
    assert names == {n for n in names if f"{n}: #" in style.split("@media")[0]}


def test_the_numbers_are_those_of_the_files(inputs, page):
    folder, _ = inputs
    for name in ("small", "smaller"):
        metrics = json.loads((folder / "reports" / name / "metrics.json").read_text())
        scores = metrics["splits"]["test"]
        assert f"<td>{span(scores['macro']['auroc'])}</td>" in page
        assert f"<td>{span(scores['micro']['ap'])}</td>" in page
    assert (
        "88 films of 88 patients are used, of 90 films of 90 patients" in page
        and "2 of 90 indexed images (2.2 %) were dropped" in page
    )
    assert "Dice 0.971 on 7 held-out phantoms" in page
    assert "1 film is taken whole" in page
    assert META["source_sha256"] in page
    assert "0.875 at a threshold of 0.250: called" in page


def test_weights_that_may_know_the_test_films_are_flagged(page):
    section = page.split('<section id="leaks">')[1].split("</section>")[0]
    for name in ("small", "smaller"):
        flag = f'<p class="warning">{name}: Nobody &lt;b&gt;knows&lt;/b&gt;.</p>'
        assert flag in section
    assert section.count('<td class="text">foreign.safetensors</td>') == 2
    assert section.count("<td>unknown</td>") == 6


def test_few_patients_are_said_and_their_scores_withheld(inputs, page):
    metrics = json.loads((inputs[0] / "reports/small/metrics.json").read_text())["splits"]["test"]
    section = page.split('<section id="results">')[1]
    table = section.split("<h3>AUROC of each finding")[1].split("<tbody>")[1]
    for number, finding in enumerate(FINDINGS, start=1):
        row = metrics[finding]["auroc"]
        if row["value"] is not None and row["patients"] < 20:
            shown = table.split("</tr>")[number - 1]
            assert finding in shown
            assert f"too few: {row['patients']} patients" in shown
            assert f"<td>{row['value']:.3f}</td>" not in shown
    assert "on fewer than 20 patients" in page and "undefined" in page


def test_a_headline_that_would_mean_nothing_is_withheld(inputs):
    folder, _ = inputs
    metrics = json.loads((folder / "reports/small/metrics.json").read_text())
    one = {"name": "small", "metrics": metrics}
    sides = {name: {"films": 9, "patients": 9} for name in ("train", "val", "test", "all")}
    enough = outcome.head([one], metrics["splits"]["test"], {}, sides, "random", "phantom")[
        "cards"
    ][0]
    assert enough["value"] == f"{metrics['splits']['test']['macro']['auroc']['value']:.3f}"
    for finding in FINDINGS:
        metrics["splits"]["test"][finding]["auroc"]["patients"] = 19
    assert (
        outcome.head([one], metrics["splits"]["test"], {}, sides, "official", "local")["cards"][0][
            "value"
        ]
        == "too few"
    )


def test_the_page_says_when_too_few_boxes_judge_the_maps(page):
    section = page.split('<section id="explanation">')[1].split("</section>")[0]
    assert "boxes are on test films of 10 patients: too few to say" in section
    assert "better by" not in section and "40 %" not in section.split("Published shares")[0]


def test_the_first_screen_says_how_the_films_were_split(inputs, page):
    sides = json.loads((inputs[0] / "data" / "facts.json").read_text())["sides"]
    counts = ", ".join(f"{sides[name]['films']:,} {name}" for name in ("train", "val", "test"))
    split = outcome.SPLITS[inputs[1]["split_patients"]["kind"]]
    assert f"films of {sides['all']['patients']} patients: {counts}; {split}" in html.unescape(page)


def test_the_checks_say_what_was_found(inputs, page):
    section = html.unescape(page.split('<section id="validity"')[1].split("</section>")[0])
    facts = json.loads((inputs[0] / "data" / "facts.json").read_text())
    assert facts["certificate"]["verdict"] in section
    assert "Not known: no experiment of this run sees films without lungs." in section
    for anchor in ("leaks", "audit", "strata", "baseline", "views", "shortcuts", "experts"):
        assert f'<a href="#{anchor}">' in section


def test_the_sheets_of_lungs_show_what_draw_lungs_drew(inputs, page):
    section = page.split('<section id="lungs">')[1].split("</section>")[0]
    titles = re.findall("<(?:h3|strong)>(.*?)</", section)
    assert titles == [
        "On real films",
        "What the crops cut off",
        "Random films",
        "The least plausible lungs",
        "Films that another method boxed",
        "Finding boxes that are cut",
    ]
    sheets = [re.findall(r'src="(.*?)"', sheet) for sheet in re.split("<h3>|<strong>", section)[3:]]
    assert [len(sheet) for sheet in sheets] == [3, 1, 1, 1] and sheets[1][0] == sheets[0][1]
    shown = inputs[0] / "sheets" / "00000007_000.webp"
    assert sheets[2] == [pictures.file_uri(shown)]
    assert "00000007_000.png · none: the film is taken whole · quality 0.25" in section
    assert "(from 0.90; 1 is an ordinary pair of lungs)" in section
    assert "3 of 88 films, drawn at random" in section and "1 of 1 film: first" in section
    assert "1 of 1 film of whose finding boxes" in section
    assert "keep 90.0 % of their area on average; 1 loses more than 5 %" in section
    assert "<td>2</td><td>90.0 %</td><td>1</td><td>80.0 %</td><td>70.0 %</td>" in section
    assert "Not measured: run benchmarks/lungs_on_real_films.py" in section


def test_a_network_whose_lungs_are_mostly_not_plausible_is_not_said_to_find_them(inputs):
    dice = {"dice_mean": 0.9, "dice_min": 0.8, "films": 20}
    counts = {"unet": 3, "unet_ensemble": 1, "lung_finder": 5, "whole_film": 1}
    said = lungs._sentence(inputs[0] / "segmenter", dice, counts, 10)
    assert "lungs are plausible on 4 of 10 films alone" in said and "boxed 5; 1 film is" in said
    assert "finds the lungs" in lungs._sentence(inputs[0] / "segmenter", dice, counts, 8)


def test_an_empty_sheet_is_not_shown(inputs, tmp_path):
    sheets = tmp_path / "sheets"
    shutil.copytree(inputs[0] / "sheets", sheets)
    table = pd.read_csv(sheets / "sheets.csv")
    table[table["sheet"] == "random"].to_csv(sheets / "sheets.csv", index=False)
    pd.read_csv(sheets / "box_loss.csv").head(0).to_csv(sheets / "box_loss.csv", index=False)
    page = write(inputs, tmp_path / "x.html", sheets=sheets)
    section = page.split('<section id="lungs">')[1].split("</section>")[0]
    assert re.findall("<h3>(.*?)</h3>", section)[2:] == ["Random films"]
    assert "The source has no box of a finding" in section and "nan" not in section


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "It is the segmenter of this report."),
        ({"weights_sha256": "0" * 64}, "has the same settings and other weights"),
        (
            {"size_px": 256, "weights_sha256": "0"},
            "has other settings; these figures are not its own",
        ),
    ],
)
def test_figures_of_real_films_are_shown_with_whose_they_are(inputs, tmp_path, changed, said):
    measured = {**MEASURED, "segmenter": MEASURED["segmenter"] | changed}
    path = tmp_path / "real.json"
    path.write_text(json.dumps({"default": measured}))
    page = write(inputs, tmp_path / "x.html", on_real_films=path)
    assert said in page and "Dice 0.901 on average, median 0.910" in page
    assert "270 by unet, 30 by unet_ensemble" in page
    assert "on 2 (2.0 %) the box cuts more than 2 %" in page
    assert "the least is 100.0 %" in page and "87.9 %" in page
    bare = {**measured, "masked": None, "hand": None, "boxes": None}
    path.write_text(json.dumps({"default": bare}))
    assert "Dice 0.901" not in write(inputs, tmp_path / "x.html", on_real_films=path)


def test_hostile_names_stay_text(inputs, page, tmp_path):
    assert "<img src=x" not in page and "<b>broken" not in page
    assert html.escape(HOSTILE, quote=False).split("&quot;")[0] in html.unescape(page).replace(
        "<img src=x", "&lt;img src=x"
    ).replace("(1)>", "(1)&gt;")
    hostile = write(inputs, tmp_path / "x.html", title="</title><script>alert(1)</script>")
    assert "<script>alert" not in hostile and hostile.count("<script") == 1


def test_the_section_on_shortcuts_shows_what_was_scored(inputs, page):
    section = page.split('<section id="shortcuts">')[1].split("</section>")[0]
    folder, _ = inputs
    for name in ("small", "smaller"):
        metrics = json.loads((folder / "reports" / name / "metrics.json").read_text())
        pair = metrics["splits"]["test"]["marks"]["drain"]["Mass"]
        assert pair["mark_alone"]["value"] > 0.6
        for part in ("mark_alone", "all"):
            held = pair[part]
            few = f"too few: {held['patients']} patients"
            assert (few if held["patients"] < 20 else span(held)) in section
    assert "where fewer than 20 patients have the finding" in section
    assert '<td class="text">too few patients with the finding to tell</td>' in section


def test_nothing_is_loaded_from_anywhere(page):
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']*""", page)
    assert "url(" not in page and "@import" not in page
    assert page.count("data:image/webp;base64,") >= 6


def test_the_same_inputs_give_the_same_page(inputs, page, tmp_path):
    assert write(inputs, tmp_path / "again.html") == page


def test_a_page_over_its_limit_is_refused(inputs, tmp_path):
    with pytest.raises(InputError, match=r"write_report\.max_mb: the page has .* MB, over 0\.01"):
        write(inputs, tmp_path / "x.html", max_mb=0.01)
    assert not (tmp_path / "x.html").exists()


def test_galleries_of_other_experiments_are_the_first_to_go(inputs, page, tmp_path):
    """They get what the rest of the page leaves of its limit, to the last byte."""
    size = len(page.encode())
    assert write(inputs, tmp_path / "x.html", max_mb=size / 1e6) == page
    short = write(inputs, tmp_path / "y.html", max_mb=(size - 1) / 1e6)
    assert len(short.encode()) < size and "would make this page too large" in short
    assert 'id="map-1"' in short and "would make this page too large" not in page


def test_ticks_are_round_and_inside():
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert all(0.5 <= value <= 1 for value in ticks(0.5, 1))
    assert len(ticks(0, 18_000)) in range(4, 8)


def test_a_chart_places_its_points():
    ends = np.array([0.0, 1.0])
    drawn = str(chart([Line("a<b", ends, ends, "e0")], "x", "y", "t"))
    assert "M46.0 260.0L348.0 12.0" in drawn and "a&lt;b" in drawn
    gap = Line("n", np.array([0.0, 0.5, 1.0]), np.array([0, np.nan, 1]), "e0")
    assert "nan" not in str(chart([gap], "x", "y", "t"))
