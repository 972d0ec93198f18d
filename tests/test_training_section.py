import pandas as pd

from ribcage.report import sections


def model(name, sizes, best):
    """A model of two epochs a size, whose losses fall by a tenth an epoch."""
    epochs = range(1, 2 * len(sizes) + 1)
    history = {
        "epoch": list(epochs),
        "size_px": [size for size in sizes for _ in range(2)],
        "samples": [100 * n for n in epochs],
        "train_loss": [1 - 0.1 * n for n in epochs],
        "val_loss": [1.1 - 0.1 * n for n in epochs],
        "val_auroc_macro": [0.5 + 0.1 * n for n in epochs],
    }
    config = {"best_epoch": best, "n_train_films": 20, "n_train_patients": 9, "n_val_films": 5}
    return {
        "name": name,
        "experiment": name,
        "style": "e0",
        "config": config,
        "history": pd.DataFrame(history),
    }


def test_sizes_are_drawn_apart_and_only_the_last_has_the_kept_epoch():
    said = sections.training([model("plain", [64], 2), model("grown", [64, 224], 4)])
    assert said["table"].rows == [
        ["plain", "64 px", "20", "9", "5", "200", "2 of 2", "0.9000", "0.700"],
        ["grown", "64, then 224 px", "20", "9", "5", "200, then 200", "2 of 2", "0.7000", "0.900"],
    ]
    loss, area = said["groups"]
    assert "2 of 2 models kept their last epoch, and so still improved" in loss.caption
    assert "The last epoch changed it by +0.100." in area.caption
    assert "of its last size. grown learnt from smaller films first" in said["sentence"]
    for group, lines in zip(said["groups"], (6, 3), strict=True):
        drawn = str(group.chart)
        assert drawn.count('<path class="line') == lines and drawn.count("<circle") == 2
        assert drawn.count(" thin") == lines / 3 and "grown at 64 px" in drawn
        assert "are of the smaller films that came first" in group.caption


def test_nothing_is_said_of_small_films_where_there_were_none():
    said = sections.training([model("plain", [64], 1)])
    assert said["table"].rows[0][6:] == ["1 of 2", "1.0000", "0.600"]
    assert "No model kept its last epoch" in said["groups"][0].caption
    words = said["sentence"] + "".join(group.caption for group in said["groups"])
    assert "Thin" not in words and "smaller" not in words and " thin" not in str(said["groups"])
