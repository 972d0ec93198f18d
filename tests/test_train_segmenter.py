import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from conftest import png
from draw_phantoms import main as draw_phantoms
from fetch_lung_masks import main as fetch_lung_masks
from ribcage import masked_films, nets, segmenting
from ribcage.disguise import Disguise
from ribcage.errors import InputError
from ribcage.masked_films import Mix, Pairs, names_on, read_pairs
from train_segmenter import averaged, main

OPTIONS = {
    "architecture": "unet",
    "encoder": "resnet18",
    "decoder_channels": [128, 64, 32, 16, 8],
    "init": "none",
    "size_px": 64,
    "films": 30,
    "real_share": 0,
    "samples": 64,
    "batch_size": 8,
    "lr": 0.002,
    "ema": 0,
    "seed": 1,
}


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "share"
    draw_phantoms(folder, 40, 20, 64, quality_faults=0.1, test_share=0.3, seed=2)
    return folder


@pytest.fixture(scope="module")
def no_masks(tmp_path_factory):
    """What fetch_lung_masks leaves without a source."""
    folder = tmp_path_factory.mktemp("none") / "lung_masks"
    fetch_lung_masks(folder, [], size_px=64, min_rca=0.7, test_share=0.2)
    return folder


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Twelve made-up films with masks, fetched as somebody's own."""
    folder = tmp_path_factory.mktemp("real")
    rng = np.random.default_rng(3)
    for place in ("images", "masks"):
        (folder / "own" / place).mkdir(parents=True)
    for number in range(12):
        film = rng.integers(0, 256, (64, 64), dtype=np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        mask[10:50, 8:26] = mask[10:50, 38:56] = 255
        (folder / f"own/images/{number}.png").write_bytes(png(film))
        (folder / f"own/masks/{number}.png").write_bytes(png(mask))
    source = {"kind": "own", "origin": str(folder / "own"), "max_films": 50}
    fetch_lung_masks(folder / "lung_masks", [source], size_px=64, min_rca=0.7, test_share=0.4)
    return folder / "lung_masks"


@pytest.fixture(scope="module")
def trained(share, no_masks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "segmenter"
    main(share, no_masks, folder, **OPTIONS)
    return folder


def told(share, masks, folder, **changes):
    """Train with other options; return config and metrics."""
    main(share, masks, folder, **OPTIONS | changes)
    return [json.loads((folder / name).read_text()) for name in ("config.json", "metrics.json")]


def test_a_model_is_weights_and_readable_json(trained):
    net, config = segmenting.load(trained)
    assert not net.training and config["size_px"] == 64 and config["seed"] == 1
    history = pd.read_csv(trained / "history.csv")
    assert history["samples"].tolist() == [16, 32, 48, 64]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    metrics = json.loads((trained / "metrics.json").read_text())
    assert 0 <= metrics["dice_min"] <= metrics["dice_mean"] <= 1 and metrics["films"] >= 3
    assert metrics["real"] is None and config["init"] is None and config["n_real_films"] == 0


def test_the_same_seed_gives_the_same_bytes(share, no_masks, trained, tmp_path):
    main(share, no_masks, tmp_path / "again", **OPTIONS)
    for path in trained.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_pspnet_is_trained_with_real_films_and_an_average_and_is_loaded(share, real, tmp_path):
    options = {"architecture": "pspnet", "real_share": 0.3, "ema": 0.9, "samples": 32}
    config, metrics = told(share, real, tmp_path / "net", **options)
    assert config["architecture"] == "pspnet" and config["n_real_films"] >= 4
    assert metrics["real"]["films"] == 12 - config["n_real_films"]
    assert 0 <= metrics["real"]["dice_min"] <= metrics["real"]["dice_mean"] <= 1
    net, _ = segmenting.load(tmp_path / "net")
    one, two = segmenting.probabilities(
        net, np.zeros((2, 64, 64), np.uint8), nets.Machine(torch.device("cpu"), bf16=False)
    )
    assert one.shape == two.shape == (2, 64, 64)


def test_held_out_real_films_are_scored_even_if_none_is_learnt_from(share, real, trained, tmp_path):
    config, metrics = told(share, real, tmp_path / "net")
    assert config["n_real_films"] == 0 and metrics["real"]["films"] >= 2
    weights = [(folder / nets.WEIGHTS).read_bytes() for folder in (trained, tmp_path / "net")]
    assert weights[0] == weights[1]


def test_a_share_of_real_films_needs_real_films(share, no_masks, tmp_path):
    with pytest.raises(
        InputError, match=r"real_share: is 0\.5, but .* holds no film to learn from"
    ):
        main(share, no_masks, tmp_path / "net", **OPTIONS | {"real_share": 0.5})
    assert not (tmp_path / "net").exists()


def test_the_share_of_real_films_is_exact_and_every_film_has_its_turn():
    order = masked_films.chosen((30, 7), Mix(16, 0.1), np.random.default_rng(0))
    flat = [choice for _ in range(70) for choice in next(order)]
    real = [k for kind, k in flat if kind == 1]
    assert len(real) == 112 and sorted(real) == sorted([*range(7)] * 16)
    drawn = [k for kind, k in flat if kind == 0]
    assert sorted(drawn[:30]) == [*range(30)]
    nothing = masked_films.chosen((30, 0), Mix(4, 0), np.random.default_rng(0))
    assert {kind for _ in range(20) for kind, _ in next(nothing)} == {0}


def test_batches_do_not_depend_on_the_number_of_threads(share):
    films, masks = read_pairs(share, names_on(share, "test", 9, np.random.default_rng(0)), 64)
    sources = (Pairs(films, masks), Pairs(films[:2], masks[:2]))
    made = []
    for threads in (1, 4):
        source = masked_films.batches(sources, Mix(4, 0.25), 5, threads)
        made.append([next(source) for _ in range(6)])
        source.close()
    for (seen, truth), (again, same) in zip(*made, strict=True):
        assert torch.equal(seen, again) and torch.equal(truth, same)
    assert made[0][0][0].shape == (4, 1, 64, 64)


def test_an_average_forgets_the_start_and_follows_the_batch_statistics():
    net = torch.nn.BatchNorm1d(1, affine=True)
    follower = averaged(net, 0.5)
    for _ in range(30):
        with torch.no_grad():
            net.weight.fill_(3.0)
            net.running_mean.fill_(7.0)
        follower.update_parameters(net)
    assert follower.module.weight.item() == pytest.approx(3, abs=1e-4)
    assert follower.module.running_mean.item() == pytest.approx(7, abs=1e-3)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_foreign_weights_are_taken_as_they_are(share, no_masks, trained, tmp_path, suffix):
    net, _ = segmenting.load(trained)
    state = net.state_dict()
    first = state["encoder.conv1.weight"]
    state["encoder.conv1.weight"] = (first / 3).repeat(1, 3, 1, 1)  # as a net for RGB has it
    path = tmp_path / f"weights.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    folder = tmp_path / "net"
    config, metrics = told(share, no_masks, folder, init=str(path), samples=0)
    assert config["init"]["file"] == str(path) and len(config["init"]["sha256"]) == 64
    assert metrics["films"] >= 3 and len(pd.read_csv(folder / "history.csv")) == 1
    taken, _ = segmenting.load(folder)
    for name, tensor in net.state_dict().items():
        assert torch.allclose(taken.state_dict()[name].float(), tensor.float(), atol=1e-6), name


class Hostile:
    def __reduce__(self):
        return (print, ("run by an unpickler",))


def misfits():
    state = segmenting.build("resnet18").state_dict()
    name, value = "segmentation_head.0.bias", torch.zeros(1)
    without = {k: v for k, v in state.items() if k != name}
    yield without, "does not fit the segmenter: it lacks segmentation_head.0.bias"
    yield state | {"extra": value}, "it has extra besides"
    yield state | {name: torch.zeros(2)}, r"segmentation_head.0.bias is \[2\] and not \[1\]"
    yield state | {name: value * torch.nan}, "not finite: segmentation_head.0.bias"
    yield {f"module.{k}": v for k, v in state.items()}, "it lacks .* and 179 more; it has module"
    yield {"epoch": 3, "state_dict": state}, "holds epoch, state_dict and not a state dict alone"
    yield [value], "holds list and not a state dict alone"
    yield {"a": Hostile()}, "holds no weights alone"


@pytest.mark.parametrize("number", range(8))
def test_weights_that_do_not_fit_are_one_sentence(tmp_path, number, capsys):
    state, words = list(misfits())[number]
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    with pytest.raises(InputError, match=words) as error:
        segmenting.import_weights(segmenting.build("resnet18"), path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert "run by" not in capsys.readouterr().out


def test_files_that_hold_no_weights_are_refused(share, no_masks, tmp_path):
    net = segmenting.build("resnet18")
    for name in ("a.pt", "a.safetensors"):
        (tmp_path / name).write_bytes(b"<!doctype html>")
        with pytest.raises(InputError, match="holds no weights alone"):
            segmenting.import_weights(net, tmp_path / name)
    with pytest.raises(InputError, match="there are no such weights"):
        segmenting.import_weights(net, tmp_path / "nothing.pt")
    with pytest.raises(InputError, match="samples: 0 takes weights as they are"):
        main(share, no_masks, tmp_path / "m", **OPTIONS | {"samples": 0})


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"encoder": "resnet18", "architecture": 1}'])
def test_a_config_that_is_no_segmenters_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match="train the segmenter again"):
        segmenting.load(tmp_path)


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


def test_a_mask_that_is_missing_and_an_unknown_encoder_are_refused(share, no_masks, tmp_path):
    with pytest.raises(InputError, match="no encoder 'resnet1'"):
        main(share, no_masks, tmp_path / "m", **OPTIONS | {"encoder": "resnet1"})
    assert not (tmp_path / "m").exists()
    with pytest.raises(InputError, match="holds none of the 1 films"):
        read_pairs(share, {"99999999_000.png"}, 64)
