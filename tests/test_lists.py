import pytest

from ribcage.errors import InputError
from ribcage.lists import official_lists, read_list


def test_a_name_may_hold_spaces_and_a_list_a_mark_at_its_start(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbffilm 1.png\r\n\nfilm 2.png")
    assert read_list(tmp_path / "x.csv") == ["film 1.png", "film 2.png"]


def test_the_official_lists_are_read_by_image(tmp_path):
    assert official_lists(tmp_path) == {}
    (tmp_path / "train_val_list.txt").write_text("a 1.png\nb.png")
    (tmp_path / "test_list.txt").write_text("c.png\n")
    lists = {"a 1.png": "train_val", "b.png": "train_val", "c.png": "test"}
    assert official_lists(tmp_path) == lists
    (tmp_path / "test_list.txt").write_text("b.png\n")
    with pytest.raises(InputError, match=r"test_list\.txt: b\.png is on the other list too"):
        official_lists(tmp_path)
