"""What weighting the loss does, said from the numbers: to the ranking, and to the probabilities."""

from typing import Any

from ribcage.report.cells import TOO_FEW, change, is_sure, number, tells
from ribcage.report.outcome import Experiment, tested

SMALL = 0.01
"""A difference of AUROC whose whole interval is within this is called small."""
BREAKS = 2.0
"""Calibration breaks where its error is so many times that of the plain loss, or of chance."""
MENDED = 1.5
"""A correction mends it where the error is then at most so many times either."""
CORRECTIONS = {"temperature": "ece_temperature", "prior correction": "ece_prior"}

Pair = dict[str, Any]


def difference(pairs: list[Pair], one: str, other: str) -> Pair | None:
    """The paired differences `one` less `other`, whichever way round they were compared.

    Args:
        pairs: of comparison.json.
        one: name of an experiment.
        other: name of another.

    Returns:
        The pair with signs and ends turned where need be; None where the two were not compared.
    """
    for pair in pairs:
        if (pair["one"], pair["other"]) == (one, other):
            return pair
        if (pair["one"], pair["other"]) == (other, one):
            turned = {
                metric: {name: _turned(row) for name, row in pair[metric].items()}
                for metric in ("auroc", "ap")
            }
            return {**pair, "one": one, "other": other, **turned}
    return None


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    value, low, high = (None if row[k] is None else -row[k] for k in ("value", "low", "high"))
    share = None if row.get("better_share") is None else 1 - row["better_share"]
    return {**row, "value": value, "low": high, "high": low, "better_share": share}


def twins(group: list[Experiment], pairs: list[Pair]) -> tuple[Experiment, Experiment] | None:
    """A weighted and an unweighted experiment that differ in nothing else."""
    for pair in pairs:
        if pair["differs"] == ["weighting"]:
            both = [e for e in group if e["name"] in (pair["one"], pair["other"])]
            of = {e["settings"]["weighting"]: e for e in both}
            if len(both) == 2 and set(of) == {"weighted", "unweighted"}:
                return of["weighted"], of["unweighted"]
    return None


def sentence(group: list[Experiment], pairs: list[Pair]) -> str:
    """Say what the weighted loss does beside the plain one; empty where no such two are there."""
    both = twins(group, pairs)
    if both is None:
        return ""
    weighted, plain = both
    pair = difference(pairs, weighted["name"], plain["name"])
    assert pair is not None  # twins found it there
    area, precision = pair["auroc"]["macro"], pair["ap"]["macro"]
    if area["value"] is None:
        return ""
    start = (
        f"Weighting the loss changes the macro AUROC by {change(area)} and the macro average "
        f"precision by {change(precision)}"
    )
    if not tells(pair["auroc"]):
        return f"{start}: {TOO_FEW} what it does."
    return f"{start}: {_ranking(area)}{_top(precision)}. {_calibration(weighted, plain)}"


def _top(precision: dict[str, Any]) -> str:
    """What the average precision adds, which looks at the highest scores most."""
    if not is_sure(precision) or abs(precision["value"]) <= SMALL:
        return ""
    return (
        f", but among the highest scores it gets {'better' if precision['value'] > 0 else 'worse'}"
    )


def _ranking(area: dict[str, Any]) -> str:
    if area["low"] is not None and area["low"] >= -SMALL and area["high"] <= SMALL:
        return "the ranking as a whole hardly moves"
    if is_sure(area):
        return f"the ranking gets {'better' if area['value'] > 0 else 'worse'}"
    return "these films cannot tell whether the ranking moves"


def _calibration(weighted: Experiment, plain: Experiment) -> str:
    after, before = (tested(one)["macro"]["ece"] for one in (weighted, plain))
    if before["value"] is None or after["value"] is None:
        return "Calibration is undefined."
    start = (
        f"The calibration error is {after['value']:.3f} with the weights and {before['value']:.3f} "
        f"without, the mean of the findings, where probabilities without fault would show {number(after.get('expected'))} "
        f"and {number(before.get('expected'))} by chance: "
    )
    if not _same(after, before):
        return f"{start}means over {after['findings']} and {before['findings']} findings, which do not compare."
    if after["value"] < BREAKS * _least(before, after):
        return f"{start}weighting does not break calibration here."
    start += "calibration breaks, and the probabilities can no longer be read as such."
    return f"{start} {_mended(weighted, before)}".rstrip()


def _mended(weighted: Experiment, before: Pair) -> str:
    """What the two corrections make of it, held against the plain loss and against chance."""
    rows = {name: tested(weighted)["macro"][metric] for name, metric in CORRECTIONS.items()}
    if any(row["value"] is None for row in rows.values()):
        return ""
    told = ", ".join(f"{row['value']:.3f} by {name}" for name, row in rows.items())
    start = f"Corrected on validation it is {told}"
    if not all(_same(row, before) for row in rows.values()):
        over = min(row["findings"] for row in rows.values())
        return f"{start}, over {over} of the {before['findings']} findings alone, so that this does not compare."
    mended = [name for name, row in rows.items() if row["value"] <= MENDED * _least(before, row)]
    if not mended:
        return f"{start}: neither mends it."
    return f"{start}: {' and '.join(mended)} mend{'' if len(mended) > 1 else 's'} it."


def _same(one: Pair, other: Pair) -> bool:
    """Whether two means are over as many findings."""
    return bool(one["findings"] == other["findings"])


def _least(before: Pair, row: Pair) -> float:
    """What can be asked of a calibration error: no less than the plain loss has, or than chance."""
    return max(float(before["value"]), float(row.get("expected") or 0))
