"""How often the findings of NIH's table come, come together and come back; and shares from that.

A film has a finding where a normal number of its own lies over a threshold: the thresholds give
each finding its share, the numbers' correlations (tetrachoric) make findings come together as they
do in the table, and a part of each number that stays with the patient makes them come back.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from ribcage.findings import FINDINGS

FILMS = {"PA": 67_310, "AP": 44_810}
NO_FINDING_OF_NIH = 0.538
AP_SHARE = FILMS["AP"] / sum(FILMS.values())

# Counted in Data_Entry_2017_v2020.csv (NIH Clinical Center; 112,120 films): the PA and the AP films
# with a finding; the percentage of its films whose patient's next film has it again; and the films
# with two findings, PA above the diagonal and AP below it. Rows and columns are in the order of
# FINDINGS.
COUNTS = """
5728  5831 37.4     - 187 1584 1287 419 371 144 492 411  27 259 177 335  28
1563  1213 30.5   183   -  525  230  54  60  17  25  51  19  30  40  63   6
6589  6728 48.7  1691 538    - 1485 779 549 120 665 451 106 236 144 578  18
9353 10541 38.8  1977 357 2515    - 576 825 214 430 324 117 223 258 421  26
3567  2215 41.6   320  48  475  583   - 604  30 305 291  35 141  99 325  22
4177  2154 31.9   219  48  363  721 302   -  35 234 222  28  75 141 314   8
 630   801 13.0   118  24  149  391  41  35   -  20  43  21  12   8  25   3
3407  1895 55.6   282  24  331  516 126 107  21   - 102  12 467  53 214   5
1521  3146 28.1   812 118  836  897 319 206  80 121   -  21  42  51 142   4
 276  2027 30.4   194 108  487  864  94 103 319  21 141   -   8   6   7   2
1499  1017 43.5   165  14  123  226  74  40  11 280  61  22   -  28 121   4
1408   278 19.7    43  12   44   87  18  25   3  27  28   3   8   - 149   8
2418   967 23.4   161  48  271  329 127  97  23  75 109  57  30  27   -   7
 192    35 46.5    12   1    3    7   3   2   0   4   0   1   0   0   1   -
"""

RARE_PAIRS = 5
"""A lift is drawn towards 1 as if so many films with both findings had been seen by chance."""
TRIALS = 20_000
"""Films, always the same ones, on which the share without a finding is set."""


@dataclass(frozen=True)
class Shares:
    """How findings are drawn; arrays in the order of FINDINGS.

    Attributes:
        expected: by view, float [14], each finding's share of films.
        thresholds: by view, float [14], from where on a normal number means the finding.
        roots: by view, float [14, 14], a root of the numbers' correlations.
        stays: float [14], the share of a number's variance that is the patient's own.
    """

    expected: dict[str, np.ndarray]
    thresholds: dict[str, np.ndarray]
    roots: dict[str, np.ndarray]
    stays: np.ndarray

    def findings(self, view: str, patient: np.ndarray, film: np.ndarray) -> tuple[str, ...]:
        """Say what a film shows, from the patient's and the film's normal numbers, [14] each."""
        own, new = self.roots[view] @ patient, self.roots[view] @ film
        number = np.sqrt(self.stays) * own + np.sqrt(1 - self.stays) * new
        return tuple(FINDINGS[k] for k in np.flatnonzero(number > self.thresholds[view]))


def real() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """The table as shares: of findings [14] and of pairs [14, 14] by view; of returns [14]."""
    table = np.array([row.replace(" -", " 0").split() for row in COUNTS.split("\n")[1:-1]], float)
    upper, lower = np.triu(table[:, 3:]), np.tril(table[:, 3:])
    pairs = {"PA": (upper + upper.T) / FILMS["PA"], "AP": (lower + lower.T) / FILMS["AP"]}
    singles = {view: table[:, k] / FILMS[view] for k, view in enumerate(FILMS)}
    return singles, pairs, table[:, 2] / 100


@lru_cache(maxsize=8)
def shares_of(no_finding_share: float, rare_boost: float) -> Shares:
    """Work out how findings are drawn.

    Args:
        no_finding_share: share of films without a finding; NIH's is `NO_FINDING_OF_NIH`.
        rare_boost: in [0, 1]: 0 for NIH's shares, 1 for findings that are all equally common; a
            finding's shares of AP and PA films keep their ratio.
    """
    singles, pairs, returns = real()
    total = sum(FILMS.values())
    overall = np.sum([FILMS[view] / total * singles[view] for view in FILMS], axis=0)
    wanted = (1 - rare_boost) * overall + rare_boost * overall.mean()
    expected = {view: singles[view] * wanted / overall for view in FILMS}
    roots = {view: _root(singles[view], pairs[view], FILMS[view]) for view in FILMS}
    fixed = np.random.Generator(np.random.Philox(0)).standard_normal((TRIALS, len(FINDINGS)))
    # Each film's largest number, in units of shares: how far they grow until it has a finding.
    scale = {v: (ndtr(-fixed @ roots[v].T) / expected[v]).min(axis=1) for v in FILMS}
    weights = np.concatenate([np.full(TRIALS, FILMS[view]) for view in FILMS])
    together = np.concatenate([scale[view] for view in FILMS])
    order = np.argsort(together)[::-1]
    reached = np.cumsum(weights[order]) / weights.sum()
    grown = together[order][np.searchsorted(reached, no_finding_share)]
    expected = {view: np.minimum(grown * expected[view], 0.9) for view in FILMS}
    common = np.minimum(grown * wanted, 0.9)
    return Shares(
        expected=expected,
        thresholds={view: -ndtri(expected[view]) for view in FILMS},
        roots=roots,
        stays=_correlation(common, common, common * returns).clip(0),
    )


def _root(singles: np.ndarray, pairs: np.ndarray, films: int) -> np.ndarray:
    """A root [14, 14] of the correlations that make pairs as common as they are."""
    chance = np.outer(singles, singles)
    lift = (pairs * films + RARE_PAIRS) / (chance * films + RARE_PAIRS)
    found = _correlation(singles[:, None], singles[None, :], lift * chance)
    np.fill_diagonal(found, 1)
    values, vectors = np.linalg.eigh((found + found.T) / 2)
    # Pairs that contradict each other give way. The symmetric root: those of the two views are
    # alike, so that a patient's findings stay when the view changes.
    root = vectors * np.sqrt(values.clip(0.01)) @ vectors.T
    return np.asarray(root / np.linalg.norm(root, axis=1, keepdims=True))


def _correlation(one: np.ndarray, other: np.ndarray, both: np.ndarray) -> np.ndarray:
    """The normal numbers' correlation with which two shares of films overlap as given.

    Args:
        one: shares in (0, 1).
        other: shares, of a shape that broadcasts with it.
        both: the share of films that has both, of the shape of both together.
    """
    nodes, steps = np.polynomial.legendre.leggauss(48)
    at, width = (1 + nodes) / 2, steps / 2
    low, high = np.full(both.shape, -0.95), np.full(both.shape, 0.95)
    number = -ndtri(one[..., None] * at)  # of the films that have the first, [..., 48]
    edge = -ndtri(other)[..., None]
    for _ in range(30):
        middle = (low + high) / 2
        r = middle[..., None]
        overlap = one * (ndtr((r * number - edge) / np.sqrt(1 - r * r)) @ width)
        low, high = np.where(overlap < both, middle, low), np.where(overlap < both, high, middle)
    return (low + high) / 2
