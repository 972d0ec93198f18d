import json

import numpy as np
import pandas as pd
import pytest
import torch

from draw_phantoms import main as draw_phantoms
from ribcage import segmenting
from ribcage.disguise import Disguise
from ribcage.errors import InputError
from train_segmenter import main, names_on, read_pairs

OPTIONS = {"encoder": "resnet18", "size_px": 64, "films": 30, "samples": 64, "batch_size": 8}


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "share"
    draw_phantoms(folder, 40, 20, 64, quality_faults=0.1, test_share=0.3, seed=2)
    return folder


@pytest.fixture(scope="module")
def trained(share, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "segmenter"
    main(share, folder, **OPTIONS, lr=0.002, seed=1)
    return folder


def test_a_model_is_weights_and_readable_json(trained):
    net, config = segmenting.load(trained)
    assert not net.training and config["size_px"] == 64 and config["seed"] == 1
    history = pd.read_csv(trained / "history.csv")
    assert history["samples"].tolist() == [16, 32, 48, 64]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    metrics = json.loads((trained / "metrics.json").read_text())
    assert 0 <= metrics["dice_min"] <= metrics["dice_mean"] <= 1 and metrics["films"] >= 3


def test_the_same_seed_gives_the_same_bytes(share, trained, tmp_path):
    main(share, tmp_path / "again", **OPTIONS, lr=0.002, seed=1)
    for path in trained.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_test_films_and_blacklisted_ones_are_not_learnt_from(share):
    rng = np.random.default_rng(0)
    learnt, held = names_on(share, "train_val", 1000, rng), names_on(share, "test", 1000, rng)
    listed = {n for p in (share / "blacklists").glob("*.csv") for n in p.read_text().split()}
    assert learnt and held and not learnt & held and listed and not (learnt | held) & listed
    assert len(names_on(share, "train_val", 7, rng)) == 7
    films, masks = read_pairs(share, held, 64)
    assert films.shape == masks.shape == (len(held), 64, 64) and masks.dtype == bool


def test_disguises_move_film_and_mask_alike(share):
    # A film that is its own mask must stay so under every move, before any other disguise.
    mask = read_pairs(share, names_on(share, "test", 1, np.random.default_rng(0)), 64)[1][0]
    for seed in range(8):
        moved, lungs = Disguise(np.random.default_rng(seed))._move(
            mask.astype(np.float32), mask.astype(np.float32)
        )
        inside = lungs > 0.99
        assert np.abs(moved - lungs)[inside].max(initial=0) < 1e-5 and 0 < inside.mean() < 0.7


def test_disguised_films_are_finite_and_differ(share):
    films, masks = read_pairs(share, names_on(share, "test", 1, np.random.default_rng(0)), 64)
    disguise = Disguise(np.random.default_rng(0))
    drawn = [disguise(films[0], masks[0]) for _ in range(40)]
    assert all(np.isfinite(film).all() and film.dtype == np.float32 for film, _ in drawn)
    assert not np.array_equal(drawn[0][0], drawn[1][0])


def test_the_loss_is_least_for_the_right_answer():
    truth = torch.zeros(1, 1, 8, 8)
    truth[..., 2:5, 2:5] = 1
    right, wrong = (segmenting.loss_of(10 * (2 * m - 1), truth) for m in (truth, 1 - truth))
    assert right < 0.01 < 1 < wrong


def test_a_mask_that_is_missing_and_an_unknown_encoder_are_refused(share, tmp_path):
    with pytest.raises(InputError, match="no encoder 'resnet1'"):
        main(share, tmp_path / "m", **{**OPTIONS, "encoder": "resnet1"}, lr=0.002, seed=1)
    assert not (tmp_path / "m").exists()
    with pytest.raises(InputError, match="holds none of the 1 films"):
        read_pairs(share, {"99999999_000.png"}, 64)
