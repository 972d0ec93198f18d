import csv
import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ribcage import contamination, nets, training
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.schedules import shuffled
from ribcage.shards import Shards
from ribcage.tables import write_table
from train_classifier import main

META = {"labels_version": "other", "source_sha256": "0" * 64}
SETTINGS = {
    "architecture": "densenet121",
    "size_px": 32,
    "view": "lungs",
    "weighting": "unweighted",
    "init": "none",
    "init_seen": "beside",
    "contaminated": "refuse",
    "start_px": "none",
    "start_samples": 24,
    "start_lr": 2e-3,
    "samples": 32,
    "epochs": 2,
    "batch_size": 8,
    "lr": 1e-3,
    "warmup": 0.25,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "flip": True,
    "max_rotation_deg": 5,
    "max_shift": 0.05,
    "max_scale": 0.05,
    "max_contrast": 0.1,
}
STILL = {"flip": False, "max_rotation_deg": 0, "max_shift": 0, "max_scale": 0, "max_contrast": 0}


def toy(folder, films=60, size=32, large=48):
    """Two batches of noise in which a bright disc is a Mass and a dark base an Effusion.

    The last finding never occurs, and a sixth of the films each are val and test. The films are
    stored larger as well, with more noise around them.
    """
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    truth = rng.random((films, 14)) < 0.3
    truth[:, FINDINGS.index("Hernia")] = False
    pixels = rng.integers(60, 140, (films, size, size))
    row, column = np.mgrid[:size, :size]
    disc = (row - size // 3) ** 2 + (column - size // 2) ** 2 < (size // 5) ** 2
    pixels += 90 * truth[:, FINDINGS.index("Mass"), None, None] * disc
    pixels -= 60 * truth[:, FINDINGS.index("Effusion"), None, None] * (row > 0.7 * size)
    names = [f"{n:08d}_000.png" for n in range(films)]
    rows = pd.DataFrame({"image": names, "patient": np.arange(films) // 2})
    curated = pd.concat([rows, pd.DataFrame(truth, columns=FINDINGS)], axis=1)
    write_table(curated, folder / "curated.parquet", META)
    parts = ["train"] * 4 + ["val", "test"]
    split = rows.assign(split=[parts[n // 2 % 6] for n in range(films)], official=None)
    write_table(split, folder / "split.parquet", META)
    batches = [folder / "shards" / name for name in ("b1", "b2")]
    for number, batch in enumerate(batches):
        batch.mkdir(parents=True)
        part = np.arange(films)[number::2]
        np.save(batch / f"lungs-{size}.npy", pixels[part].astype(np.uint8))
        wide = ((0, 0), (0, large - size), (0, large - size))
        np.save(batch / f"lungs-{large}.npy", np.pad(pixels[part].astype(np.uint8), wide, "wrap"))
        frame = pd.DataFrame({"image": [names[n] for n in part]})
        square = {"x0_px": 0, "y0_px": 0, "side_px": size, "width_px": size, "height_px": size}
        write_table(frame.assign(**square), batch / "lungs.parquet", META)
    return batches


@pytest.fixture
def data(tmp_path):
    return tmp_path, toy(tmp_path)


def train(data, name="model", seed=1, **changes):
    folder, batches = data
    model = folder / name
    settings = {**SETTINGS, **changes}
    tables = folder / "curated.parquet", folder / "split.parquet"
    main(*tables, batches, model, "toy", settings, seed)
    return model


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def part_of(data, name):
    folder, batches = data
    split = pd.read_parquet(folder / "split.parquet")
    images = split["image"][split["split"] == name].tolist()
    curated = pd.read_parquet(folder / "curated.parquet")
    return training.data_of(images, curated, Shards(batches, "lungs", 32), "split.parquet")


def test_the_same_settings_seed_and_data_give_the_same_bytes(data):
    first = contents(train(data, "first"))
    files = ["config.json", "history.csv", "metrics.json", "seen.parquet", "weights.safetensors"]
    assert sorted(first) == files
    assert contents(train(data, "again")) == first
    other = contents(train(data, "other", seed=2))
    assert other["weights.safetensors"] != first["weights.safetensors"]


def test_labels_follow_the_image_not_the_row(data):
    folder, _ = data
    straight = part_of(data, "train").labels
    curated = pd.read_parquet(folder / "curated.parquet")
    write_table(curated.iloc[::-1], folder / "curated.parquet", META)
    assert np.array_equal(part_of(data, "train").labels, straight) and straight.any()


def test_a_model_says_what_it_is_and_what_it_saw(data):
    model = train(data, weighting="weighted")
    config = json.loads((model / "config.json").read_text())
    truth = part_of(data, "train").labels
    assert config["classes"] == list(FINDINGS)
    assert (config["view"], config["size_px"], config["seed"]) == ("lungs", 32, 1)
    assert config["settings"]["weighting"] == "weighted"
    assert (config["n_train_films"], config["n_val_films"]) == (40, 10)
    assert (config["n_train_patients"], config["n_val_patients"]) == (20, 5)
    assert config["train_positives"] == dict(zip(FINDINGS, truth.sum(axis=0), strict=True))
    mass = truth[:, FINDINGS.index("Mass")]
    assert config["positive_weight"]["Mass"] == pytest.approx((~mass).sum() / mass.sum(), abs=1e-4)
    assert config["positive_weight"]["Hernia"] == 1
    assert config["labels_version"] == "other" and config["source_sha256"] == "0" * 64
    assert str(model) not in (model / "config.json").read_text()
    with (model / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    counted = [(row["epoch"], row["size_px"], row["samples"]) for row in history]
    assert counted == [("1", "32", "16"), ("2", "32", "32")]
    scores = json.loads((model / "metrics.json").read_text())
    best = history[config["best_epoch"] - 1]
    assert scores == {name: pytest.approx(float(value)) for name, value in best.items()}
    assert scores["val_loss"] == min(float(row["val_loss"]) for row in history)


def test_weights_go_on_from_a_model_that_knows_what_it_saw(data):
    folder, _ = data
    first = train(data, "first")
    config = json.loads((first / "config.json").read_text())
    assert config["seen"] == {
        "weights": "none",
        "known": True,
        "likely": False,
        **dict.fromkeys(("train", "val", "test"), 0),
        "at_least": dict.fromkeys(("train", "val", "test"), 0),
        "sentence": "A random start has seen no film of this split.",
    }
    weights = str(first / "weights.safetensors")
    second = train(data, "second", init=weights, contaminated="flag")
    seen = json.loads((second / "config.json").read_text())["seen"]
    assert (seen["known"], seen["train"], seen["val"], seen["test"]) == (True, 40, 10, 0)
    with pytest.raises(InputError, match=r"40 train films, 10 val films .* to flag"):
        train(data, "third", init=weights)
    assert not (folder / "third").exists()
    # The same names, but phantoms now: the first model has seen films.
    curated = pd.read_parquet(folder / "curated.parquet")
    write_table(curated, folder / "curated.parquet", META | {"labels_version": "phantom"})
    third = train(data, "third", init=weights)
    assert json.loads((third / "config.json").read_text())["seen"]["val"] == 0
    seen = contamination.seen_by(str(third / "weights.safetensors"), "beside")
    assert len(seen.films) == 100 and not seen.also


def test_it_learns_what_can_be_seen_and_nothing_else(data, tmp_path):
    train(data, samples=480, epochs=1, batch_size=16, lr=2e-3, **STILL)
    net, _ = nets.load(tmp_path / "model")
    val, on = part_of(data, "test"), nets.Machine(torch.device("cpu"), bf16=False)
    logits = nets.infer(net, val.in_order(64), on)
    for finding in ("Mass", "Effusion"):
        column = FINDINGS.index(finding)
        known, given = val.labels[:, column], logits[:, column]
        assert given[known].min() > given[~known].max(), finding
    assert (logits[:, FINDINGS.index("Hernia")] < -2).all()


def test_the_best_epoch_is_kept_and_not_the_last(data, monkeypatch):
    seen, losses = [], iter([0.9, 0.5, 0.5, 0.7])

    def judge(net, val, weights, on):
        seen.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
        return {"val_loss": next(losses), "val_auroc_macro": float("nan")}

    monkeypatch.setattr(training, "judge", judge)
    model = train(data, epochs=4)
    kept = load_file(model / "weights.safetensors")
    assert json.loads((model / "config.json").read_text())["best_epoch"] == 2
    assert all(torch.equal(kept[name], tensor) for name, tensor in seen[1].items())
    assert not torch.equal(kept["classifier.weight"], seen[3]["classifier.weight"])
    assert json.loads((model / "metrics.json").read_text())["val_auroc_macro"] is None


def test_a_start_is_learnt_first_and_its_best_epoch_goes_on(data, monkeypatch):
    """Validation is best at the small size, which nevertheless is not kept."""
    begun, judged, losses = [], [], iter([0.1, 0.3, 0.9, 0.5, 0.7])

    def judge(net, val, weights, on):
        judged.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
        return {"val_loss": next(losses), "val_auroc_macro": 0.5}

    def fit(net, train, val, settings, rng, on):
        first = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        begun.append((train.shards.size_px, val.shards.size_px, settings["lr"], first))
        return whole(net, train, val, {**settings, "epochs": 2 if len(begun) == 1 else 3}, rng, on)

    whole = training.fit
    monkeypatch.setattr(training, "judge", judge)
    monkeypatch.setattr(training, "fit", fit)
    model = train(data, size_px=48, start_px=32)
    assert [one[:3] for one in begun] == [(32, 32, 2e-3), (48, 48, 1e-3)]
    assert all(torch.equal(begun[1][3][name], tensor) for name, tensor in judged[0].items())
    kept = load_file(model / "weights.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in judged[3].items())
    history = pd.read_csv(model / "history.csv")
    assert history["size_px"].tolist() == [32, 32, 48, 48, 48]
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert history["samples"].tolist() == [16, 24, 32, 48, 56]
    config = json.loads((model / "config.json").read_text())
    assert (config["best_epoch"], config["size_px"]) == (4, 48)
    assert config["settings"]["start_px"] == 32 and config["settings"]["start_samples"] == 24
    assert json.loads((model / "metrics.json").read_text())["val_loss"] == 0.5


def test_a_start_gives_the_same_bytes_twice_and_no_start_asks_for_no_small_films(data):
    small = {"size_px": 48, "start_px": 32, "samples": 16, "epochs": 1}
    first = contents(train(data, "first", **small))
    assert contents(train(data, "again", **small)) == first
    for batch in data[1]:
        (batch / "lungs-32.npy").unlink()
    alone = contents(train(data, "alone", **small | {"start_px": "none"}))
    assert alone["weights.safetensors"] != first["weights.safetensors"]
    unread = {"start_px": "none", "start_samples": 99, "start_lr": 0.1}
    same = contents(train(data, "same", **small | unread))
    assert same["weights.safetensors"] == alone["weights.safetensors"]
    with pytest.raises(InputError, match=r"lungs-32\.npy: no such shard"):
        train(data, "lost", **small)


def test_macro_auroc_leaves_out_what_validation_cannot_judge(data):
    val, on = part_of(data, "val"), nets.Machine(torch.device("cpu"), bf16=False)
    val.labels = val.labels & (np.arange(14) == 0)  # 13 findings that do not occur

    class Knows(torch.nn.Module):
        def forward(self, films):
            return torch.from_numpy(val.labels.astype(np.float32))

    weights = np.ones(14, np.float32)
    assert training.judge(Knows(), val, weights, on)["val_auroc_macro"] == 1
    val.labels = np.zeros_like(val.labels)
    assert np.isnan(training.judge(Knows(), val, weights, on)["val_auroc_macro"])


@pytest.mark.parametrize("lost", ["train", "val"])
def test_a_split_without_films_is_refused(data, lost):
    folder, _ = data
    split = pd.read_parquet(folder / "split.parquet")
    write_table(split[split["split"] != lost], folder / "split.parquet", META)
    with pytest.raises(InputError, match=f"has no {lost} film"):
        train(data)


def test_a_film_that_was_dropped_is_refused(data):
    folder, _ = data
    curated = pd.read_parquet(folder / "curated.parquet")
    write_table(curated.iloc[3:], folder / "curated.parquet", META)
    with pytest.raises(InputError, match=r"00000000_000\.png is not among the curated"):
        train(data)


def test_a_size_that_no_shard_has_is_refused(data):
    with pytest.raises(InputError, match=r"lungs-64\.npy: no such shard"):
        train(data, size_px=64)


def test_a_loss_that_is_no_number_stops_and_writes_nothing(data):
    with pytest.raises(InputError, match=r"loss became (nan|inf).*lower"):
        train(data, lr=1e30, warmup=0, samples=80)
    assert not (data[0] / "model").exists()


def test_each_film_comes_once_before_any_comes_again():
    order = shuffled(10, 4, np.random.default_rng(0))
    drawn = np.concatenate([next(order) for _ in range(5)])
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert not np.array_equal(drawn[:10], drawn[10:])


def films_of(n, size=32):
    pixels = np.random.default_rng(0).random((n, 1, size, size)).astype(np.float32)
    return torch.from_numpy(pixels)


def test_augmentation_of_nothing_changes_nothing():
    films = films_of(4)
    same = training.Augment(STILL, np.random.default_rng(0))(films)
    np.testing.assert_allclose(same, films, atol=1e-5)


def test_half_of_the_films_are_mirrored_and_only_left_to_right():
    films = films_of(64)
    changed = training.Augment({**STILL, "flip": True}, np.random.default_rng(0))(films)
    mirrored = films.flip(3)
    flips = [torch.allclose(a, b, atol=1e-5) for a, b in zip(changed, mirrored, strict=True)]
    stays = [torch.allclose(a, b, atol=1e-5) for a, b in zip(changed, films, strict=True)]
    assert all(a != b for a, b in zip(flips, stays, strict=True)) and 20 < sum(flips) < 44


def test_a_shift_moves_by_at_most_its_share_of_the_side():
    films = torch.zeros(200, 1, 40, 40)
    films[:, :, 20, 20] = 1
    moved = training.Augment({**STILL, "max_shift": 0.1}, np.random.default_rng(0))(films)
    mass = moved.sum(dim=(1, 2, 3))
    rows, columns = torch.arange(40.0).view(-1, 1), torch.arange(40.0).view(1, -1)
    for axis in (rows, columns):
        steps = (moved[:, 0] * axis).sum(dim=(1, 2)) / mass - 20
        assert 3 < steps.abs().max() <= 4.01


def test_norms_and_biases_do_not_decay():
    net = nets.DenseNet121()
    decaying, others = training.optimizer_of(net, SETTINGS).param_groups
    assert decaying["weight_decay"] == 0.01 and others["weight_decay"] == 0
    named = {id(parameter): name for name, parameter in net.named_parameters()}
    assert all("conv" in named[id(p)] or "classifier" in named[id(p)] for p in decaying["params"])
    assert any("norm" in named[id(p)] for p in others["params"])
    assert len(decaying["params"]) + len(others["params"]) == len(named)
