import shutil

import pytest

from conftest import ROOT
from ribcage import settings
from ribcage.errors import InputError
from ribcage.phantoms.population import MARKS
from use_preset import main as use_preset

PRESETS = sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))


@pytest.fixture
def params(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path / "params.yaml"


def edited(params, old, new):
    text = params.read_text()
    assert old in text
    params.write_text(text.replace(old, new, 1))
    return params


def test_the_embedded_default_is_valid():
    assert settings.read(ROOT / "params.yaml")["source"]["kind"] == "phantom"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_keeps_the_comments(params, name):
    use_preset(ROOT / "presets" / f"{name}.yaml", [], params)
    settings.read(params)
    assert "# Defaults of every experiment" in params.read_text()


def test_single_settings_go_on_top_of_a_preset(params):
    use_preset(
        ROOT / "presets" / "smoke.yaml", ["seeds=[3, 4]", "train_classifier.lr=1e-4"], params
    )
    read = settings.read(params)
    assert read["seeds"] == [3, 4] and read["train_classifier"]["lr"] == 0.0001
    assert set(read["experiments"]) == {"unweighted", "weighted"}


def test_the_tables_alone_are_a_run_that_has_to_be_asked_for(params):
    alone = ["batches=[]", "fetch_images.archives=[]"]
    with pytest.raises(InputError, match=r"batches: .* set index_images\.absent to keep"):
        use_preset(ROOT / "presets" / "local.yaml", alone, params)
    alone.append("index_images.absent=keep")
    use_preset(ROOT / "presets" / "local.yaml", alone, params)
    assert settings.read(params)["batches"] == []


def test_a_threshold_of_quality_is_a_number_or_none(params):
    use_preset(ROOT / "presets" / "smoke.yaml", ["curate_images.quality.flat=10"], params)
    with pytest.raises(InputError, match=r"quality\.flat: .*none, or the least standard dev"):
        use_preset(ROOT / "presets" / "smoke.yaml", ["curate_images.quality.flat=off"], params)


def test_a_setting_of_one_experiment_leaves_the_others(params):
    use_preset(ROOT / "presets" / "smoke.yaml", ["experiments.weighted.lr=0.01"], params)
    read = settings.read(params)
    assert set(read["experiments"]) == {"unweighted", "weighted"}
    assert read["experiments"]["weighted"] == {"weighting": "weighted", "lr": 0.01}


def test_a_model_to_import_is_named_by_the_user(params):
    one = "import_predictions.theirs={file: a.csv, of: own_test, learnt_from: unknown}"
    use_preset(ROOT / "presets" / "smoke.yaml", [one], params)
    assert settings.read(params)["import_predictions"]["theirs"]["file"] == "a.csv"
    use_preset(ROOT / "presets" / "smoke.yaml", ["import_predictions.theirs.of=this_split"], params)
    assert settings.read(params)["import_predictions"]["theirs"]["of"] == "this_split"


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("split_patients.sede=1", "split_patients.sede: params.yaml has no such key"),
        ("seeds", "write a setting as key=value"),
        ("seeds=[1", "the value is not YAML"),
        ("train_classifier.lr=fast", "train_classifier.lr: 'fast' is not of type 'number'"),
    ],
)
def test_a_bad_setting_is_refused_and_nothing_is_written(params, assignment, words):
    before = params.read_text()
    with pytest.raises(InputError, match=words):
        use_preset(ROOT / "presets" / "smoke.yaml", [assignment], params)
    assert params.read_text() == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("val_share: 0.125", "val_share: 0.125\n  vall_share: 1", "split_patients: .*'vall_share'"),
        ("  val_share: 0.125\n", "", "split_patients: 'val_share' is a required property"),
        ("kind: phantom", "kind: phantoms", "source.kind: 'phantoms' is not one of"),
        ("test_share: 0.2", "test_share: 20", "draw_phantoms.test_share: 20 is greater than"),
        ("seeds: [1]", "seeds: []", "seeds: .*non-empty|seeds: .*too short"),
        ("{size_px: 64, weighting: weighted}", "{size_pixels: 64}", "'size_pixels'"),
        ("  densenet121-64-weighted:", "  lungs:", "experiments: 'lungs' should not .*index.html"),
        ("  densenet121-64-weighted:", "  imported:", "experiments: 'imported' should not .*"),
        ("  densenet121-64-weighted:", "  metadata_baseline:", "'metadata_baseline' should not"),
        ("  densenet121-64-weighted:", "  certificate.json:", "'certificate.json' should not"),
        ("  fold: 0", "  fold: 5", "split_patients.fold: 5 is none of 5 folds, 0 to 4"),
        ("init_seen: beside", "init_seen: unknwon", "init_seen: 'unknwon' .*official_train_val"),
        ("contaminated: refuse", "contaminated: ignore", "contaminated: 'ignore' is not one of"),
        ("no_lungs-64, lungs-96]", "no_lungs-64]", "trains on lungs-96, which write_"),
        ("  start_px: none", "  start_px: 0", "start_px: 0 is less than the minimum of 32"),
        (
            "{size_px: 64, view: full}",
            "{size_px: 64, view: full, start_px: 32}",
            "densenet121-64-full: trains on full-32, which write_shards.shards does not list",
        ),
        (
            "{size_px: 96, weighting: unweighted, samples: 6000}",
            "{size_px: 64, start_px: 96}",
            "densenet121-96-unweighted: start_px is 96, which is not below size_px, 64; write a",
        ),
        ("archives: *batches", "archives: []", "fetches every batch"),
        ("test: 0.2}", "test: 0.3}", "split_patients.shares: must sum to 1, not 1.1"),
        (
            "shortcuts: []",
            "shortcuts: [{finding: Cough, mark: drain, with: 1, without: 0}]",
            "draw_phantoms.shortcuts: 'Cough' is no finding; known are Atelectasis",
        ),
        (
            "shortcuts: []",
            "shortcuts: [&one {finding: Mass, mark: drain, with: 1, without: 0}, *one]",
            "draw_phantoms.shortcuts: drain is planted twice",
        ),
        (
            "shortcuts: []",
            "shortcuts: [{finding: Mass, mark: stent, with: 1, without: 0}]",
            "draw_phantoms.shortcuts.0.mark: 'stent' is not one of",
        ),
        ("films: 2600", "films: 100", r"batches: 100 phantoms .* make \['images_001'\]"),
        ("real_share: 0", "real_share: 0.2", "real_share: 0.2 .*sources is empty; add a source"),
        ("samples: 6000", "samples: 0", "samples: 0 takes weights as they are; name them in init"),
        ("ema: 0", "ema: 1", "train_segmenter.ema: 1 is .*"),
        (
            "sources: []",
            "sources: [{kind: own, origin: a, max_films: 9}, {kind: own, origin: b, max_films: 9}]",
            "fetch_lung_masks.sources: own is there 2 times; name it once",
        ),
        ("sources: []", "sources: [{kind: v7, origin: a, max_films: 9}]", "'v7' is not one of"),
        ("sources: []", "sources: [{kind: own, origin: a}]", "'max_films' is a required"),
        ("seeds: [1]", "seeds: [1", "is not YAML"),
        ("batches [images_001,", "batches [1,", "batches.0: 1 is not of type .*such as images_001"),
        ("absent: refuse", "absent: keep", "absent: keep is for a run on the tables alone; write"),
        (
            "import_predictions: {}",
            "import_predictions: {densenet121-64-weighted: {file: a.csv, of: own_test, "
            "learnt_from: nothing}}",
            "import_predictions.densenet121-64-weighted: an experiment has this name; take another",
        ),
        (
            "import_predictions: {}",
            "import_predictions: {metadata_baseline: {file: a, of: own_test, learnt_from: x.txt}}",
            "import_predictions: 'metadata_baseline' should not .*take another name",
        ),
        (
            "import_predictions: {}",
            "import_predictions: {a/b: {file: a, of: own_test, learnt_from: nothing}}",
            "import_predictions: 'a/b' does not match",
        ),
        (
            "import_predictions: {}",
            "import_predictions: {a: {file: a, of: test, learnt_from: nothing}}",
            "import_predictions.a.of: 'test' is not one of .*own_test: all films",
        ),
        (
            "import_predictions: {}",
            "import_predictions: {a: {file: a, of: own_test, learnt_from: beside}}",
            "import_predictions.a.learnt_from: 'beside' .*a film a line",
        ),
        (
            "import_predictions: {}",
            "import_predictions: {a: {file: a, of: own_test}}",
            "import_predictions.a: 'learnt_from' is a required property",
        ),
        ("mirror: none", "mirror: /nih", "source.mirror: a phantom source reads nothing official"),
    ],
)
def test_a_wrong_key_or_value_is_one_sentence(params, old, new, words):
    with pytest.raises(InputError, match=words) as error:
        settings.read(edited(params, old, new))
    assert "\n" not in str(error.value)
    assert str(params) in str(error.value)


def test_a_first_taste_names_archives_by_number_and_fetches_these(params, capsys):
    use_preset(ROOT / "presets/nih.yaml", ["batches=[1, 2]", "source.mirror=/films"], params)
    read = settings.read(params)
    assert read["batches"] == read["fetch_images"]["archives"] == ["images_001", "images_002"]
    assert read["index_images"]["absent"] == "drop" and read["source"]["mirror"] == "/films"
    said = capsys.readouterr().out
    assert "fetches 2 of NIH's 12 archives: 14,999 films, 6.0 GB" in said
    assert "index_images.absent is now drop" in said


def test_what_a_preset_says_of_absent_films_holds_for_its_own_batches(params, capsys):
    full, tables, other = (
        ROOT / "presets" / f"{name}.yaml" for name in ("nih", "nih_tables", "best_segmenter")
    )

    def absent(preset, *single):
        use_preset(preset, list(single), params)
        return settings.read(params)["index_images"]["absent"]

    assert absent(full, "batches=[1,2]") == "drop"
    assert absent(other, "index_images.absent=refuse") == "refuse" == absent(other)
    assert absent(tables, "batches=[3]", "source.images=data/raw/images") == "drop"
    assert absent(full) == "refuse"
    capsys.readouterr()
    assert absent(tables) == "keep"
    assert "fetches NIH's tables alone, no archive\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["local", "smoke"])
def test_no_other_presets_word_on_absent_films_is_left(params, name):
    use_preset(
        ROOT / "presets" / f"{name}.yaml", [], edited(params, "absent: refuse", "absent: drop")
    )
    assert settings.read(params)["index_images"]["absent"] == "refuse"


def test_what_was_asked_for_in_so_many_words_is_left_alone(params, capsys):
    single = ["batches=[12]", "index_images.absent=refuse"]
    use_preset(ROOT / "presets/nih.yaml", single, params)
    assert settings.read(params)["index_images"]["absent"] == "refuse"
    with pytest.raises(InputError, match=r"fetch_images\.archives: nih fetches every batch"):
        use_preset(
            ROOT / "presets/nih.yaml", ["batches=[1]", "fetch_images.archives=[images_002]"], params
        )
    use_preset(ROOT / "presets/nih.yaml", ["index_images.absent=refuse"], params)
    assert "fetches 12 of NIH's 12 archives: 112,120 films, 45.1 GB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[13]", "batches: NIH has no archive images_013; it has images_001, "),
        ("[images]", "batches: NIH has no archive images; it has"),
        ("[0]", "batches.0: 0 is not of type 'string' .*such as images_001"),
        ("[true]", "batches.0: True is not of type 'string'"),
        ("1", "batches: 1 is not of type 'array'"),
        ("[1, 1]", "batches: .*non-unique"),
    ],
)
def test_batches_that_nih_does_not_have_are_refused(params, value, words):
    with pytest.raises(InputError, match=words):
        use_preset(ROOT / "presets/nih.yaml", [f"batches={value}"], params)


def test_the_schema_knows_the_marks_that_can_be_drawn():
    schema = settings.load_yaml(settings.SCHEMA)["properties"]["draw_phantoms"]["properties"]
    assert schema["shortcuts"]["items"]["properties"]["mark"]["enum"] == list(MARKS)


def test_numbers_are_read_as_dvc_reads_them(params):
    assert (
        settings.read(edited(params, "  lr: 0.0015", "  lr: 1e-4"))["train_classifier"]["lr"]
        == 1e-4
    )


def test_an_experiment_is_its_settings_over_the_defaults():
    read = settings.read(ROOT / "params.yaml")
    one = settings.of_experiment(read, "densenet121-64-weighted")
    assert (one["size_px"], one["weighting"]) == (64, "weighted")
    assert one["batch_size"] == read["train_classifier"]["batch_size"]


def test_settings_given_to_snakemake_alone_are_refused():
    with pytest.raises(InputError, match=r"seeds: .* unknown to DVC"):
        settings.of_command_line({"seeds": [1]})
    with pytest.raises(InputError, match="allow_missing: true or false, not 'yes'"):
        settings.of_command_line({"allow_missing": "yes"})
    assert settings.of_command_line({"allow_missing": "True"})
    assert not settings.of_command_line({})
