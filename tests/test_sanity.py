import json

import numpy as np
import pytest
import torch

from planted import BRIGHT, DARK, films, wired
from ribcage.explanation import methods, sanity
from ribcage.explanation.methods import LAYERS, METHODS, Occlusion
from ribcage.explanation.sanity import corners, mean_maps, randomised
from ribcage.findings import FINDINGS

HIDE = Occlusion(window=0.25, stride=0.25)


@pytest.fixture(scope="module")
def net():
    torch.set_num_threads(1)
    return wired()


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(sanity, "DRAWS", 2)


def asked():
    """Each film of bright and dark squares, asked for both."""
    return np.repeat(films(), 2, axis=0), np.tile([BRIGHT, DARK], 4)


@pytest.mark.parametrize("method", ["cam", "grad_cam"])
def test_a_network_that_has_forgotten_draws_other_maps(net, method, monkeypatch):
    monkeypatch.setattr(sanity, "DRAWS", 4)
    found = randomised(net, *asked(), method, LAYERS[-1], HIDE, seed=1)
    assert found["films"] == 8 and found["draws"] == 4 and found["alarm"] is False
    for kind in ("head", "all"):
        assert -1 <= found[kind]["low"] <= found[kind]["mean"] <= found[kind]["high"] <= 1
        assert found[kind]["mean"] < sanity.SURVIVES
        assert 0 < found[kind]["maps"] <= 32


@pytest.mark.parametrize("method", METHODS)
def test_every_method_depends_on_the_weights(net, method):
    shown, of = asked()
    given = methods.explain(net, shown[:2], of[:2], method, "denseblock3", HIDE)
    torch.manual_seed(0)
    for draw in (sanity.new_head, sanity.new_weights):
        drawn = methods.explain(draw(net), shown[:2], of[:2], method, "denseblock3", HIDE)
        gap = np.abs(drawn / np.abs(drawn).max() - given / given.max()).max()
        assert gap > 0.1


def test_a_method_that_ignores_the_weights_is_caught(net, monkeypatch):
    def edges(net, films, findings, method, layer, occlusion):
        return np.abs(np.diff(films.astype(np.float32), axis=1))[:, ::16, ::16]

    monkeypatch.setattr(methods, "explain", edges)
    found = randomised(net, *asked(), "cam", LAYERS[-1], HIDE, seed=1)
    assert found["alarm"] is True
    for kind in ("head", "all"):
        assert found[kind] == pytest.approx({"maps": 16, "mean": 1, "low": 1, "high": 1})


def test_a_method_that_ignores_the_head_alone_is_caught(net, monkeypatch):
    def energy(net, films, findings, method, layer, occlusion):
        seen = methods.nets.normalise(torch.from_numpy(films))
        with torch.inference_mode():
            return net.maps(seen).mean(dim=1).numpy()

    monkeypatch.setattr(methods, "explain", energy)
    found = randomised(net, *asked(), "cam", LAYERS[-1], HIDE, seed=1)
    assert found["alarm"] is True
    assert found["head"]["mean"] == pytest.approx(1) and found["all"]["mean"] < 0.99


def test_networks_are_drawn_by_the_seed_and_nothing_else_changes(net):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    torch.manual_seed(11)
    first = randomised(net, *asked(), "cam", LAYERS[-1], HIDE, seed=1)
    after = torch.rand(3)
    torch.manual_seed(11)
    assert torch.equal(after, torch.rand(3))
    torch.manual_seed(12)
    assert json.dumps(first) == json.dumps(
        randomised(net, *asked(), "cam", LAYERS[-1], HIDE, seed=1)
    )
    assert first != randomised(net, *asked(), "cam", LAYERS[-1], HIDE, seed=2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_only_what_is_said_to_be_drawn_anew_is(net):
    torch.manual_seed(0)
    head, every = sanity.new_head(net), sanity.new_weights(net)
    for name, tensor in net.state_dict().items():
        assert torch.equal(head.state_dict()[name], tensor) != name.startswith("classifier"), name
        if "conv" in name or "classifier" in name:
            assert not torch.equal(every.state_dict()[name], tensor), name
    assert not head.training and not every.training
    assert torch.isfinite(every(torch.randn(2, 1, 64, 64))).all()


def test_maps_without_any_difference_have_no_correlation(net, monkeypatch):
    def flat(net, films, findings, method, layer, occlusion):
        return np.ones((len(films), 4, 4), np.float32)

    monkeypatch.setattr(methods, "explain", flat)
    found = randomised(net, *asked(), "cam", LAYERS[-1], HIDE, seed=1)
    undefined = {"maps": 0, "mean": None, "low": None, "high": None}
    assert found["head"] == found["all"] == undefined and found["alarm"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_mean_maps_are_means_over_films():
    maps = np.random.default_rng(0).normal(size=(7, 14, 3, 3)).astype(np.float32)
    mean = mean_maps(maps)
    assert mean.shape == (14, 3, 3) and mean.dtype == np.float32
    np.testing.assert_allclose(mean[5], maps[:, 5].mean(axis=0), atol=1e-6)


def peaks(places, side):
    """Mean maps with their one peak at a place [row, column] each."""
    mean = np.random.default_rng(0).normal(size=(14, side, side)).clip(-2, 2).astype(np.float32)
    for one, place in zip(mean, places, strict=True):
        one[place] = 5
    return mean


@pytest.mark.parametrize("side", [3, 4, 7, 14])
@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_findings_that_are_all_hot_in_one_corner_raise_the_alarm(side, corner):
    found = corners(peaks([corner] * 14, side))
    assert found["alarm"] is True and found["findings"] == list(FINDINGS)
    assert found["cell"] == [side - 1 if at else 0 for at in corner]
    json.dumps(found)


def test_the_alarm_takes_more_than_half_of_the_findings_in_the_same_corner():
    inside = [(1, 1), (2, 2), (1, 2), (2, 1), (0, 1), (3, 2)]
    at = [(0, 3)] * 8 + inside
    assert corners(peaks(at, 4))["alarm"] is True
    at[0] = (1, 3)
    found = corners(peaks(at, 4))
    assert found["alarm"] is False and found["cell"] == [0, 3]
    assert found["findings"] == list(FINDINGS[1:8])
    everywhere = [(0, 0), (0, 3), (3, 0), (3, 3)] * 3 + [(0, 0), (3, 3)]
    assert corners(peaks(everywhere, 4))["alarm"] is False


def test_maps_at_their_own_places_raise_none():
    found = corners(peaks([(1 + k % 5, 1 + k % 4) for k in range(14)], 7))
    assert found["alarm"] is False and found["cell"] is None and found["findings"] == []
    assert abs(found["agreement"]) < 0.3


@pytest.mark.parametrize("shape", [(1, 1), (2, 2)])
def test_a_grid_of_nothing_but_corners_is_not_judged(shape):
    mean = np.zeros((14, *shape), np.float32)
    mean[:, -1, -1] = 1
    found = corners(mean)
    assert found["alarm"] is None and found["cell"] is None and found["findings"] == []
    assert found["agreement"] is None if shape == (1, 1) else found["agreement"] == pytest.approx(1)


def test_a_map_without_one_highest_cell_is_hot_nowhere():
    mean = np.zeros((14, 4, 4), np.float32)
    assert corners(mean)["cell"] is None
    mean[:, 0, 0] = mean[:, 1, 2] = 1
    found = corners(mean)
    assert found["cell"] is None and found["alarm"] is False and found["agreement"] > 0


def test_a_corner_that_speaks_least_against_every_finding_is_hot_too():
    mean = np.random.default_rng(1).uniform(-2, -1, size=(14, 4, 4))
    mean[:, 0, 0] = -0.5
    assert corners(mean)["alarm"] is True


def test_agreement_is_the_mean_over_pairs_of_findings():
    mean = np.random.default_rng(2).normal(size=(14, 5, 5)).astype(np.float32)
    mean[9] = 3  # does not vary
    rest = np.delete(mean.reshape(14, -1), 9, axis=0)
    pairs = [np.corrcoef(rest[i], rest[j])[0, 1] for i in range(13) for j in range(i)]
    assert corners(mean)["agreement"] == pytest.approx(np.mean(pairs))
