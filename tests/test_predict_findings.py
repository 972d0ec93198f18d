import json

import numpy as np
import pandas as pd
import pytest
import torch

from predict_findings import fit_thresholds, main
from ribcage import nets
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.shards import Shards
from ribcage.tables import read_meta, read_table, write_table
from test_train_classifier import META, toy


@pytest.fixture
def data(tmp_path):
    """Toy films, and a model that was never trained."""
    batches = toy(tmp_path)
    torch.manual_seed(0)
    net = nets.build("none", np.linspace(-3, 1, 14).astype(np.float32))
    with torch.no_grad():
        net.classifier.weight.mul_(5)
    (tmp_path / "model").mkdir()
    config = {"classes": FINDINGS, "view": "lungs", "size_px": 32}
    nets.save(net, config, tmp_path / "model")
    return tmp_path, batches


def predict(data, name="1", batch_size=8):
    folder, batches = data
    out = folder / name
    tables = folder / "curated.parquet", folder / "split.parquet"
    main(folder / "model", *tables, batches, out, batch_size)
    thresholds = json.loads((out / "thresholds.json").read_text())
    return read_table(out / "predictions.parquet"), thresholds


def test_val_and_test_films_are_scored_in_the_splits_order(data):
    folder, batches = data
    split = pd.read_parquet(folder / "split.parquet").sample(frac=1, random_state=0)
    write_table(split, folder / "split.parquet", META)
    given, _ = predict(data)
    kept = split[split["split"] != "train"].reset_index(drop=True)
    assert given[["image", "patient", "split"]].equals(kept[["image", "patient", "split"]])
    assert list(given.columns[3:]) == list(FINDINGS)
    assert (given.dtypes.iloc[3:] == np.float32).all()
    assert read_meta(folder / "1" / "predictions.parquet") == META
    shards = Shards(batches, "lungs", 32)
    films = shards.take(shards.rows(given["image"].tolist(), "test"))
    net, _ = nets.load(folder / "model")
    with torch.inference_mode():
        expected = net(nets.normalise(torch.from_numpy(films))).sigmoid().numpy()
    assert np.ptp(expected, axis=0).max() > 0.2
    np.testing.assert_allclose(given[list(FINDINGS)], expected, atol=0.03)  # bfloat16


def test_predicting_twice_gives_the_same_bytes(data):
    folder, _ = data
    for name in ("first", "again"):
        predict(data, name)
    for file in ("predictions.parquet", "thresholds.json"):
        assert (folder / "first" / file).read_bytes() == (folder / "again" / file).read_bytes()


def test_thresholds_are_fitted_on_validation_alone(data):
    folder, _ = data
    given, thresholds = predict(data)
    curated = pd.read_parquet(folder / "curated.parquet").set_index("image")
    val = given[given["split"] == "val"]
    truth = curated.loc[val["image"], list(FINDINGS)]
    for finding in FINDINGS:
        row, known = thresholds[finding], truth[finding].to_numpy()
        assert (row["positives"], row["negatives"]) == (known.sum(), (~known).sum())
        if known.any() and not known.all():
            score = val[finding].to_numpy()
            sums = {t: (score >= t)[known].mean() + (score < t)[~known].mean() for t in score}
            assert sums[np.float32(row["threshold"])] == max(sums.values())
            total = row["sensitivity"] + row["specificity"]
            assert total == pytest.approx(max(sums.values()), abs=2e-6)
    curated.loc[given["image"][given["split"] == "test"], list(FINDINGS)] ^= True
    write_table(curated.reset_index(), folder / "curated.parquet", META)
    assert predict(data, "other_test")[1] == thresholds


def test_what_validation_cannot_judge_has_no_threshold():
    truth = pd.DataFrame(np.zeros((4, 14), bool), columns=FINDINGS)
    truth["Mass"] = [True, False, True, False]
    truth["Edema"] = True
    given = pd.DataFrame(np.tile([[0.9], [0.2], [0.4], [0.3]], 14), columns=FINDINGS)
    fitted = fit_thresholds(truth, given)
    nothing = {"threshold": None, "sensitivity": None, "specificity": None}
    assert fitted["Hernia"] == {**nothing, "positives": 0, "negatives": 4}
    assert fitted["Edema"] == {**nothing, "positives": 4, "negatives": 0}
    assert fitted["Mass"] == {
        "threshold": 0.4, "sensitivity": 1.0, "specificity": 1.0, "positives": 2, "negatives": 2
    }  # fmt: skip


def test_labels_follow_the_image_not_the_row(data):
    folder, _ = data
    _, straight = predict(data, "straight")
    curated = pd.read_parquet(folder / "curated.parquet")
    write_table(curated.iloc[::-1], folder / "curated.parquet", META)
    assert predict(data, "reverse")[1] == straight


def change_config(folder, **changes):
    path = folder / "model" / nets.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"classes": FINDINGS[::-1]}, "not the 14 findings"),
        ({"size_px": 64}, r"lungs-64\.npy: no such shard"),
        ({"view": "full"}, r"full-32\.npy: no such shard"),
    ],
)
def test_a_model_that_does_not_fit_the_films_is_refused(data, changes, sentence):
    change_config(data[0], **changes)
    with pytest.raises(InputError, match=sentence):
        predict(data)
    assert not (data[0] / "1").exists()


def test_a_model_without_weights_scores_nothing(data):
    (data[0] / "model" / nets.WEIGHTS).unlink()
    with pytest.raises(InputError, match="there are no such weights"):
        predict(data)


def test_a_model_that_gives_no_numbers_is_refused(data):
    folder, _ = data
    net, config = nets.load(folder / "model")
    with torch.no_grad():
        net.classifier.bias[3] = float("nan")
    nets.save(net, config, folder / "model")
    with pytest.raises(InputError, match="values that are no numbers"):
        predict(data)


def test_films_that_cannot_be_found_are_named(data):
    folder, _ = data
    curated = pd.read_parquet(folder / "curated.parquet")
    write_table(curated.iloc[:9], folder / "curated.parquet", META)
    with pytest.raises(InputError, match=r"\.png is not among the curated images"):
        predict(data)
    split = pd.read_parquet(folder / "split.parquet")
    write_table(split[split["split"] == "train"], folder / "split.parquet", META)
    with pytest.raises(InputError, match="neither validation nor test films"):
        predict(data)
