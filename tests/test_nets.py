import json
import math
import pickle
from collections import OrderedDict
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from ribcage import losses, nets
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.schedules import one_cycle

CONFIG = {"classes": FINDINGS, "view": "lungs", "size_px": 64}
ODDS = np.linspace(-4, 0, 14).astype(np.float32)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nets.build("none", ODDS).eval()


@pytest.fixture
def model(net, tmp_path):
    nets.save(net, CONFIG, tmp_path)
    return tmp_path


def some_films(n, size=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size), dtype=np.uint8)


def edit(model, change):
    weights = load_file(model / nets.WEIGHTS)
    change(weights)
    save_file(weights, model / nets.WEIGHTS)


def test_a_model_comes_back_as_it_was_saved(net, model):
    loaded, config = nets.load(model)
    assert not loaded.training and config["classes"] == list(FINDINGS)
    on = nets.Machine(torch.device("cpu"), bf16=False)
    films = some_films(3)
    assert np.array_equal(nets.infer(loaded, [films], on), nets.infer(net, [films], on))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda w: w.pop("classifier.weight"), "classifier.weight"),
        (lambda w: w.update({"head.bias": torch.zeros(3)}), "head.bias"),
        (lambda w: w.update({"classifier.bias": torch.zeros(15)}), "classifier.bias"),
    ],
)
def test_weights_that_do_not_fit_are_named(model, change, named):
    edit(model, change)
    with pytest.raises(InputError, match=f"does not fit the network.*{named}"):
        nets.load(model)


def test_no_head_is_ever_left_random(model):
    (model / nets.WEIGHTS).unlink()
    with pytest.raises(InputError, match="there are no such weights"):
        nets.load(model)
    with pytest.raises(InputError, match="there is no such model"):
        nets.load(model / "other")


def test_nothing_is_unpickled(model):
    (model / nets.WEIGHTS).write_bytes(pickle.dumps({"classifier.bias": [0.0]}))
    with pytest.raises(InputError, match="not a readable safetensors file"):
        nets.load(model)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({**CONFIG, "classes": FINDINGS[::-1]}, "not the 14 findings"),
        ({**CONFIG, "classes": FINDINGS[:8]}, "not the 14 findings"),
        ({**CONFIG, "view": None}, "view is None"),
        ({**CONFIG, "size_px": "64"}, "size_px is '64'"),
        ([], "not the 14 findings"),
    ],
)
def test_another_models_config_is_refused(model, config, sentence):
    (model / nets.CONFIG).write_text(json.dumps(config))
    with pytest.raises(InputError, match=sentence):
        nets.load(model)


def test_a_config_that_is_no_json_is_refused(model):
    (model / nets.CONFIG).write_bytes(b"\xff{")
    with pytest.raises(InputError, match="is not JSON"):
        nets.load(model)


def old_names(state):
    """Torchvision's file of 2017: `norm.1` for norm1, and no batches counted."""
    return OrderedDict(
        (name.replace("norm1.", "norm.1.").replace("norm2.", "norm.2.")
         .replace("conv1.", "conv.1.").replace("conv2.", "conv.2."), tensor)
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    )  # fmt: skip


def test_imagenet_weights_see_a_grey_film_as_three_equal_channels(monkeypatch):
    stock = torchvision.models.densenet121(weights=None).eval()
    asked = {}

    def get_state_dict(self, **wishes):
        asked.update(wishes)
        return old_names(stock.state_dict())

    kind = type(torchvision.models.DenseNet121_Weights.IMAGENET1K_V1)
    monkeypatch.setattr(kind, "get_state_dict", get_state_dict)
    net = nets.build("imagenet", ODDS).eval()
    films = nets.normalise(torch.from_numpy(some_films(2)))
    with torch.inference_mode():
        ours, theirs = net.maps(films), torch.relu(stock.features(films.expand(-1, 3, -1, -1)))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert asked["weights_only"] and asked["check_hash"]
    assert np.array_equal(net.classifier.bias.detach(), ODDS)


@pytest.mark.parametrize("fault", [URLError("no route"), RuntimeError("invalid hash value")])
def test_imagenet_weights_that_cannot_be_had_say_what_to_do(monkeypatch, fault):
    def get_state_dict(self, **wishes):
        raise fault

    kind = type(torchvision.models.DenseNet121_Weights.IMAGENET1K_V1)
    monkeypatch.setattr(kind, "get_state_dict", get_state_dict)
    with pytest.raises(InputError, match=r"https://.*or set init: none"):
        nets.build("imagenet", ODDS)


def test_another_models_weights_come_with_their_head(model):
    edit(model, lambda weights: weights["classifier.bias"].fill_(7))
    net = nets.build(str(model / nets.WEIGHTS), ODDS)
    assert (net.classifier.bias == 7).all()
    with pytest.raises(InputError, match="there are no such weights"):
        nets.build(str(model / "none.safetensors"), ODDS)


def test_each_film_is_standardised_by_itself_and_a_flat_one_is_zero():
    films = np.concatenate([some_films(2), np.full((1, 64, 64), 90, np.uint8)])
    films[1] //= 4
    seen = nets.normalise(torch.from_numpy(films)).numpy()
    assert seen.shape == (3, 1, 64, 64)
    np.testing.assert_allclose(seen[:2].mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(seen[:2].std(axis=(1, 2, 3)), 1, atol=1e-5)
    assert (seen[2] == 0).all()


def test_bfloat16_leaves_the_logits_of_different_films_different(net):
    films = some_films(64, size=32)
    on = nets.Machine(torch.device("cpu"), bf16=True)
    logits = nets.infer(net, [films], on)
    assert logits.dtype == np.float32
    assert all(len(np.unique(column)) > 60 for column in logits.T)
    exact = nets.infer(net, [films], nets.Machine(torch.device("cpu"), bf16=False))
    np.testing.assert_allclose(logits, exact, atol=0.1)


def test_films_score_the_same_in_any_batch(net):
    films, on = some_films(5, size=32), nets.Machine(torch.device("cpu"), bf16=False)
    whole = nets.infer(net, [films], on)
    np.testing.assert_allclose(whole, nets.infer(net, [films[:1], films[1:]], on), atol=1e-5)


def some_labels():
    labels = np.random.default_rng(0).random((50, 14)) < 0.3
    labels[:, 2], labels[:, 5] = False, True
    return labels


@pytest.mark.parametrize("weighting", ["unweighted", "weighted"])
def test_the_head_starts_where_the_constant_loss_is_least(weighting):
    labels = some_labels()
    weights = losses.positive_weights(labels, weighting)
    odds = losses.starting_log_odds(labels, weights)
    assert np.isfinite(odds).all() and (weights > 0).all()
    logits = torch.from_numpy(odds).repeat(50, 1).requires_grad_()
    losses.bce(logits, torch.from_numpy(labels).float(), torch.from_numpy(weights)).backward()
    slope = logits.grad.sum(dim=0).numpy()
    both = np.setdiff1d(np.arange(14), (2, 5))  # 2 never occurs, 5 always
    np.testing.assert_allclose(slope[both], 0, atol=1e-6)
    assert odds[2] < -3 and odds[5] > 3


def test_a_positive_counts_negatives_over_positives():
    labels = some_labels()
    weights = losses.positive_weights(labels, "weighted")
    assert weights[0] == pytest.approx((50 - labels[:, 0].sum()) / labels[:, 0].sum())
    assert weights[2] == weights[5] == 1
    assert (losses.positive_weights(labels, "unweighted") == 1).all()


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 0.25), (7, 0.5), (100, 0.25)])
def test_one_cycle_rises_once_and_falls_once(steps, warmup):
    rates = [one_cycle(step, steps, warmup) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = math.ceil(warmup * steps)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    if steps == 100:
        assert rates[25] == 1 and rates[0] == pytest.approx(0.04) and rates[-1] <= 1.1e-4
