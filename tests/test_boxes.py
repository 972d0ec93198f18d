import pytest

from ribcage.boxes import Box, kept

FILM = (100, 80)


@pytest.mark.parametrize(
    ("box", "cut", "share"),
    [
        (Box(10, 10, 20, 20), (0, 0, 100, 80), 1),
        (Box(10, 10, 20, 20), (20, 0, 100, 80), 0.5),
        (Box(10, 10, 20, 20), (20, 20, 100, 80), 0.25),
        (Box(10, 10, 20, 20), (50, 50, 60, 60), 0),
        (Box(90, 10, 20, 20), (0, 0, 100, 80), 1),  # no cut takes what lies beside the film
        (Box(90, 10, 20, 20), (0, 0, 95, 80), 0.75),
        (Box(90, 10, 20, 20), (-20, -20, 120, 120), 1),
        (Box(10, 10, 0, 20), (50, 50, 60, 60), 1),
    ],
)
def test_the_share_that_a_cut_leaves_of_a_box(box, cut, share):
    assert kept(box, FILM, *cut) == pytest.approx(share)
