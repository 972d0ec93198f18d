import json

import numpy as np
import pandas as pd
import pytest

import import_predictions
from conftest import ROOT
from import_predictions import main
from ribcage.entries import read_entries
from ribcage.errors import InputError
from ribcage.evaluation.evaluate import Evaluation
from ribcage.findings import FINDINGS
from ribcage.lists import official_lists
from ribcage.report import imports
from ribcage.tables import read_meta, read_table, write_table
from score_metadata_baseline import main as score_baseline

META = {"labels_version": "other", "source_sha256": "4" * 64}
SETTINGS = {"resamples": 20, "sensitivity": 0.9, "specificity": 0.9, "bins": 10, "seed": 1}
FILMS = 120
FORMS = ["curves.csv", "metrics.json", "predictions.parquet", "strata.csv"]


def write_data(folder, table, sides, official, dropped=0, meta=META):
    """What curation and the split leave of a table; the first films of it are dropped."""
    (folder / "tables").mkdir()
    (folder / "tables" / "marks.csv").write_text("image,mark\n")
    write_table(table, folder / "images.parquet", meta)
    write_table(table.iloc[dropped:], folder / "curated.parquet", meta)
    split = table[["image", "patient"]].assign(split=sides, official=official)
    write_table(split.iloc[dropped:], folder / "split.parquet", meta)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"{n // 2:08d}_{n % 2:03d}.png" for n in range(FILMS)]
    table = pd.DataFrame({"image": names, "patient": np.arange(FILMS) // 2})
    table = table.assign(
        follow_up=np.arange(FILMS) % 2,
        age_years=rng.uniform(5, 90, FILMS).round(),
        sex=rng.choice(["F", "M"], FILMS),
        view_position=rng.choice(["PA", "AP"], FILMS),
    )
    labels = pd.DataFrame(rng.random((FILMS, 14)) < 0.3, columns=FINDINGS)
    table = pd.concat([table, labels], axis=1).assign(**{"No Finding": ~labels.any(axis=1)})
    sides = np.repeat(["train", "val", "test"], FILMS // 3)
    official = np.where(sides == "test", "test", "train_val")
    write_data(tmp_path, table, sides, official, dropped=2)
    return tmp_path


def save(folder, images, seed=0, findings=FINDINGS):
    """A file of predictions as another project would write it."""
    rng = np.random.default_rng(seed)
    given = pd.DataFrame(rng.random((len(images), len(findings))), columns=findings)
    given = given.add_prefix("prob_").assign(**{"Image Index": images})
    path = folder / "theirs.csv"
    given.to_csv(path, index=False)
    return path


def run(folder, files, out="imported", settings=SETTINGS):
    names = ("curated", "images", "split")
    paths = {name: folder / f"{name}.parquet" for name in names}
    tables, imported = folder / "tables", folder / out
    blind = folder / "baseline"
    if not blind.exists():
        score_baseline(paths["curated"], paths["split"], blind, "logistic", SETTINGS)
    main(
        **paths,
        tables=tables,
        baseline=blind,
        imported=imported,
        page=folder / f"{out}.html",
        files=files,
        settings=settings,
    )
    return json.loads((imported / "imports.json").read_text())


def about(path, of="own_test", learnt_from="nothing"):
    return {"file": str(path), "of": of, "learnt_from": learnt_from}


@pytest.fixture
def quick(monkeypatch):
    """Evaluation is tested elsewhere: take down what it was asked for."""
    asked = {}

    def evaluate(name, seeds, predictions, curated, tables, settings):
        asked[name] = predictions[0]
        assert seeds == [] and settings == SETTINGS and (tables / "marks.csv").is_file()
        assert len(curated) == FILMS - 2 and len(predictions) == 1
        number = pd.DataFrame({"value": [1 / 3, np.nan]})
        return Evaluation(predictions[0], {"experiment": name, "value": 1 / 3}, number, number)

    monkeypatch.setattr(import_predictions, "evaluate", evaluate)
    monkeypatch.setattr(imports, "page", lambda imported, blind: "a page")
    return asked


def test_nothing_to_import_leaves_an_empty_list(folder):
    assert run(folder, {}) == []
    assert [path.name for path in (folder / "imported").iterdir()] == ["imports.json"]
    page = (folder / "imported.html").read_text()
    assert "Nothing is imported" in page


def test_all_films_of_a_file_are_its_own_test(folder, quick):
    images = read_table(folder / "images.parquet")["image"].tolist()
    path = save(folder, images[::-1], findings=FINDINGS[3:])
    (entry,) = run(folder, {"theirs": about(path)})
    assert entry["films"] == FILMS - 2 and entry["left_out"] == 2
    assert entry["learnt_here"] == entry["lacking"] == 0
    assert entry["missing_findings"] == list(FINDINGS[:3])
    assert (entry["name"], entry["file"], entry["of"]) == ("theirs", str(path), "own_test")
    assert entry["seen"]["test"] == 0 and "no film" in entry["seen"]["sentence"]
    rows = quick["theirs"]
    assert list(rows.columns) == ["image", "patient", "split", *FINDINGS]
    assert rows["image"].tolist() == images[2:] and set(rows["split"]) == {"test"}
    theirs = pd.read_csv(path).set_index("Image Index").loc[images[2:]]
    assert (rows["Hernia"].to_numpy() == theirs["prob_Hernia"].to_numpy()).all()
    assert rows[list(FINDINGS[:3])].isna().all(axis=None)


def test_the_forms_are_those_of_an_experiment(folder, quick):
    path = save(folder, read_table(folder / "curated.parquet")["image"].tolist())
    run(folder, {"theirs": about(path)})
    made = folder / "imported" / "theirs"
    assert sorted(path.name for path in made.iterdir()) == FORMS
    assert (made / "metrics.json").read_text().endswith("}\n")
    assert (made / "curves.csv").read_bytes() == b'value\n0.333333\n""\n'
    assert read_meta(made / "predictions.parquet") == META
    assert read_table(made / "predictions.parquet")["Mass"].dtype == np.float64


def test_of_this_split_its_val_and_test_films_are_judged(folder, quick):
    split = read_table(folder / "split.parquet")
    images = split["image"].tolist()
    path = save(folder, images[10:-5])
    (entry,) = run(folder, {"theirs": about(path, "this_split", "official_train_val")})
    rows = quick["theirs"].merge(split, on="image")
    assert (rows["split_x"] == rows["split_y"]).all() and set(rows["split_x"]) == {"val", "test"}
    assert entry["films"] == 75 and entry["learnt_here"] == 28 and entry["lacking"] == 5
    assert entry["seen"]["val"] == 40 and entry["seen"]["test"] == 0


def test_the_order_of_lines_changes_no_byte(folder):
    images = read_table(folder / "curated.parquet")["image"].tolist()
    path = save(folder, images, findings=FINDINGS[1:])
    run(folder, {"theirs": about(path, "this_split")}, "one")
    text = path.read_text().splitlines()
    path.write_text("\n".join([text[0], *text[:0:-1]]))
    run(folder, {"theirs": about(path, "this_split")}, "two")
    for name in FORMS:
        one, two = ((folder / out / "theirs" / name).read_bytes() for out in ("one", "two"))
        assert one == two, name
    metrics = json.loads((folder / "one" / "theirs" / "metrics.json").read_text())
    assert metrics["experiment"] == "theirs" and metrics["seeds"] == []
    areas = {f: metrics["splits"]["test"][f]["auroc"]["value"] for f in FINDINGS}
    assert [f for f, value in areas.items() if value is None] == [FINDINGS[0]]


@pytest.mark.parametrize(
    ("learnt_from", "test", "words"),
    [
        ("unknown", None, "is not known, and scores may be too high"),
        ("official_train_val", 78, "theirs has seen 78 test films"),
        ("list", 3, "theirs has seen 3 test films"),
        ("chexnet_reproduction", None, "that these 118 are its own test set is taken on trust."),
    ],
)
def test_films_that_the_model_learnt_from_are_counted(folder, quick, learnt_from, test, words):
    images = read_table(folder / "curated.parquet")["image"].tolist()
    if learnt_from == "list":
        learnt_from = str(folder / "list.txt")
        (folder / "list.txt").write_text("\n".join(images[:3]))
    (entry,) = run(folder, {"theirs": about(save(folder, images), learnt_from=learnt_from)})
    assert entry["seen"]["test"] == test and words in entry["seen"]["sentence"]
    assert entry["seen"]["taken_on_trust"] == (learnt_from == "chexnet_reproduction")


def test_what_does_not_fit_the_table_is_refused(folder, quick):
    images = read_table(folder / "curated.parquet")["image"].tolist()
    with pytest.raises(InputError, match=r"x\.png is not in the data table, as 1 of its 119"):
        run(folder, {"theirs": about(save(folder, [*images, "x.png"]))}, "one")
    with pytest.raises(InputError, match="scores no test film that is left after curation"):
        run(folder, {"theirs": about(save(folder, images[:60]), "this_split")}, "two")
    path = save(folder, images)
    with pytest.raises(InputError, match=r"import_predictions\.theirs\.learnt_from is a list's"):
        run(folder, {"theirs": about(path, learnt_from="no/such.txt")}, "three")


@pytest.fixture
def peer(official, tmp_path):
    """The official tables as curation leaves them, and a peer's published predictions."""
    shared = ROOT.parent / "shared" / "peer-predictions"
    if not shared.is_dir():
        pytest.skip(f"no peer's predictions at {shared}")
    table = read_entries(official / "Data_Entry_2017_v2020.csv")
    on_list = table["image"].map(official_lists(official))
    sides = np.where(on_list == "test", "test", "train")
    write_data(tmp_path, table, sides, on_list, meta={**META, "labels_version": "v2020"})
    published = pd.read_csv(shared / "published_aucs.csv").set_index("label")["auc"]
    return tmp_path, shared / "preds.csv.gz", published


def test_a_peers_file_gives_its_published_scores(peer):
    folder, path, published = peer
    entry = about(path, learnt_from="chexnet_reproduction")
    (found,) = run(folder, {"chexnet": entry}, settings={**SETTINGS, "resamples": 5})
    assert found["films"] == 22_433 and found["left_out"] == 0 and not found["missing_findings"]
    assert (
        found["seen"]["taken_on_trust"] and "22,433 are its own test" in found["seen"]["sentence"]
    )
    metrics = json.loads((folder / "imported" / "chexnet" / "metrics.json").read_text())
    assert metrics["films"]["test"] == 22_433 and metrics["fitted"] is None
    scores = metrics["splits"]["test"]
    assert {f: scores[f]["auroc"]["value"] for f in FINDINGS} == published.to_dict()
    page = (folder / "imported.html").read_text()
    assert f"{published['Cardiomegaly']:.3f} (" in page and "taken on trust" in page
