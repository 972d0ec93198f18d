import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import png
from describe_data import draw, extremes
from made_up import OFF, write_described
from ribcage.errors import InputError
from ribcage.measures import RULES


def test_extremes_are_the_films_at_the_end_that_the_rule_names():
    measures = pd.DataFrame({"image": list("dcba")})
    for rule in RULES.values():
        measures[rule.column] = [0.0, 3.0, 1.0, 1.0]
    sheets = {s["rule"]: s for s in extremes(measures, OFF | {"too_dark": 40}, 2)}
    assert [f["image"] for f in sheets["too_dark"]["films"]] == ["d", "a"]
    assert [f["image"] for f in sheets["rotated"]["films"]] == ["c", "a"]
    assert sheets["too_dark"]["threshold"] == 40 and sheets["rotated"]["threshold"] is None
    assert extremes(measures.head(0), OFF, 2) == []


def test_the_extremes_are_drawn_small(described, facts):
    shown = {f["picture"] for sheet in facts["extremes"] for f in sheet["films"]}
    drawn = {path.name for path in (described / "data").glob("*.webp")}
    assert shown == drawn and len(facts["extremes"]) == len(RULES)
    for name in drawn:
        with Image.open(described / "data" / name) as picture:
            assert picture.size == (32, 24)


def test_a_film_that_is_gone_is_one_sentence(tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.png").write_bytes(png(np.zeros((8, 8), np.uint8)))
    with pytest.raises(InputError, match=r"no batch holds b\.png any more"):
        draw({"a.png": "a.webp", "b.png": "b.webp"}, [tmp_path / "films"], tmp_path, 32)


def test_the_same_inputs_give_the_same_bytes(described, tmp_path):
    write_described(tmp_path)
    for name in ("data/facts.json", "data.html", "datasheet.md"):
        assert (tmp_path / name).read_bytes() == (described / name).read_bytes(), name
