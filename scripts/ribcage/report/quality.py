"""Measured quality of the films: what their greys are like, and which lie nearest to each rule."""

from pathlib import Path
from typing import Any

import numpy as np

from ribcage.description import QUANTILES, Facts
from ribcage.report.cells import number
from ribcage.report.charts import Line, chart
from ribcage.report.figures import Drawing, Figure, slug
from ribcage.report.pictures import file_uri
from ribcage.report.sections import Table
from ribcage.words import plural

MEASURE_NAMES = {
    "mean_grey": ("mean grey", "mean grey, 0 black to 255 white"),
    "sd_grey": ("spread of greys", "standard deviation of the greys"),
    "centre_sd_grey": ("spread of greys in the middle", "standard deviation, middle half"),
    "chest_likeness": ("likeness to a frontal chest", "correlation with a mean chest"),
    "turned": ("fit of a turned chest", "gain in correlation if turned"),
    "inverted": ("fit of an inverted chest", "gain in correlation if inverted"),
}
"""How measures are called on the page: in a table, and below an axis."""


DIGITS = {"mean_grey": 1, "sd_grey": 1, "centre_sd_grey": 1}
"""Of a measure's values, behind the point: greys go to 255, all others are near 1."""


def named(measure: str) -> str:
    """How a measure is called in a table."""
    return MEASURE_NAMES.get(measure, (measure.replace("_", " "), ""))[0]


def measured(measure: str, value: float) -> str:
    """A measure's value with the digits that mean something."""
    return number(value, DIGITS.get(measure, 3))


def measures(facts: Facts) -> dict[str, Any]:
    """What was measured on the films: quantiles, and a histogram each."""
    rows, charts = [], []
    for name, found in facts["measures"].items():
        rows.append([named(name), *(measured(name, value) for value in found["quantiles"])])
        charts.append(
            Figure(
                slug(f"histogram {named(name)}"),
                _histogram(name, found),
                _within(name, found),
            )
        )
    header = ["measure", *(f"{100 * q:g} %" for q in QUANTILES)]
    return {
        "sentence": f"Measured on {plural(facts['decoded'], 'film')} as they were decoded: the least "
        "value, quantiles, and the largest."
        if rows
        else "No film was decoded: this run is on the tables alone.",
        "table": Table(header, rows),
        "charts": charts,
    }


def _within(name: str, found: Facts) -> str:
    values = dict(zip(QUANTILES, found["quantiles"], strict=True))
    return (
        f"{named(name).capitalize()}: {measured(name, values[0.5])} in the middle; "
        f"90 % of the films lie from {measured(name, values[0.05])} to {measured(name, values[0.95])}."
    )


def _histogram(name: str, found: Facts) -> Drawing:
    edges = np.array(found["edges"])
    counts = np.array(found["counts"], float)
    shares = 100 * counts / max(counts.sum(), 1)
    x = np.repeat(edges, 2)[1:-1]
    label = MEASURE_NAMES.get(name, ("", named(name)))[1]
    return chart(
        [Line(named(name), x, np.repeat(shares, 2), "e0")], label, "% of films",
        f"Histogram of {named(name)}", (edges[0], edges[-1]), (0.0, float(shares.max()) * 1.05),
    )  # fmt: skip


def sheet(extreme: Facts, folder: Path) -> dict[str, Any]:
    """The films nearest to a rule of quality.

    Args:
        extreme: one of the facts' `extremes`.
        folder: with their pictures.
    """
    films = [
        {
            "src": file_uri(folder / film["picture"]),
            "alt": f"Film {film['image']}",
            "caption": f"{film['image']} · {named(extreme['measure'])} {measured(extreme['measure'], film['value'])}",
        }
        for film in extreme["films"]
    ]
    side = f"{extreme['is_spoilt']} {{:g}}"
    rule = (
        f"The rule is off; a threshold that was tried is {side.format(extreme['suggested'])}."
        if extreme["threshold"] is None
        else f"The rule drops films {side.format(extreme['threshold'])}."
    )
    return {
        "title": extreme["rule"].replace("_", " ").capitalize(),
        "sentence": f"The {plural(len(films), 'film')} of the "
        f"{'least' if extreme['is_spoilt'] == 'below' else 'greatest'} {named(extreme['measure'])}. {rule}",
        "films": films,
    }
