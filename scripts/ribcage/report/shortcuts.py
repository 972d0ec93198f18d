"""What the section on shortcuts says: marks that go with a finding, and networks that lean on them."""

from typing import Any

from ribcage.report.outcome import Experiment
from ribcage.report.sections import Table
from ribcage.shortcuts import LEAST, Pair
from ribcage.words import plural

GOES_WITH = 0.60
"""A mark goes with a finding where its AUROC as a prediction is this, or 1 minus this."""
DROP = 0.10
"""By how much the AUROC must fall, at least, where finding and mark part."""
LEANS, NO_SIGN = "leans on it", "no sign"
UNTOLD = "too few films break the link to tell"

RULE = (
    f"A mark is listed where it goes with a finding: taken as the prediction, its AUROC is at least {GOES_WITH:.2f} "
    f"or at most {1 - GOES_WITH:.2f}. “Broken” are only those films of which the mark says the opposite of the label: "
    "for a mark that goes with the finding, positives without it against negatives with it. A network that reads the finding "
    "ranks them as well as others; one that reads the mark ranks them the wrong way round. A network is said to lean "
    f"on the mark, or on what comes with it, where its AUROC on the broken films is at least {DROP:.2f} lower than on all films, and "
    "lower by more than two standard errors (Hanley and McNeil, of the broken films). "
    f"With fewer than {LEAST} positives or {LEAST} negatives nothing is computed."
)


def standard_error(area: float, positives: int, negatives: int) -> float:
    """Standard error of an AUROC (Hanley and McNeil, Radiology 1982)."""
    held = min(max(area, 0.05), 0.95)  # a perfect ranking of few films is not without error
    one, other = held / (2 - held), 2 * held**2 / (1 + held)
    spread = (positives - 1) * (one - held**2) + (negatives - 1) * (other - held**2)
    return float(((held * (1 - held) + spread) / (positives * negatives)) ** 0.5)


def verdict(pair: Pair) -> str:
    """Say whether a network leans on a mark, by `RULE`."""
    whole, broken = pair["all"]["value"], pair["broken"]
    if whole is None or broken["value"] is None:
        return UNTOLD
    drop = whole - broken["value"]
    if drop < DROP:
        return NO_SIGN
    error = standard_error(broken["value"], broken["positives"], broken["negatives"])
    return LEANS if drop > 2 * error else "perhaps: too few films to be sure"


def goes_with(pair: Pair) -> bool:
    """Whether the mark tells of the finding, or of its absence."""
    alone = pair["mark_alone"]["value"]
    return alone is not None and (alone >= GOES_WITH or alone <= 1 - GOES_WITH)


def section(experiments: list[Experiment]) -> dict[str, Any]:
    """Every mark that goes with a finding on the test films, and what it is to each experiment."""
    rows, leaning = [], []
    marks = experiments[0]["metrics"]["splits"]["test"]["marks"]
    listed = [
        (mark, finding)
        for mark in marks
        for finding, pair in marks[mark].items()
        if goes_with(pair)
    ]
    for mark, finding in listed:
        for experiment in experiments:
            pair = experiment["metrics"]["splits"]["test"]["marks"][mark][finding]
            said = verdict(pair)
            rows.append(_row(mark, finding, experiment["name"], pair, said))
            if said == LEANS:
                leaning.append(
                    f"{experiment['name']} leans on {mark} for {finding}: AUROC {_area(pair['all'])} on all films, "
                    f"{_area(pair['without_mark'])} on those without {mark}, {_area(pair['broken'])} on those that break the link."
                )
    header = [
        "mark", "finding", "experiment", "bears it: positives", "negatives", "AUROC of the mark alone",
        "AUROC: all films", "without the mark", "broken", "broken: positives / negatives", "verdict",
    ]  # fmt: skip
    return {
        "sentence": _sentence(len(marks), len(listed), len(leaning), [row[-1] for row in rows]),
        "leaning": leaning,
        "rule": RULE if marks else "",
        "table": Table(header, rows, text=(0, 1, 2, 10)),
    }


def _sentence(marks: int, listed: int, leaning: int, verdicts: list[str]) -> str:
    if not marks:
        return "The source has no list of marks (marks.csv: image, mark), such as drains or pacemakers, so that shortcuts cannot be looked for."
    if not listed:
        return f"Of {plural(marks, 'kind')} of marks on the films none goes with a finding on the test films."
    found = f"{plural(listed, 'pair')} of a mark and a finding {'goes' if listed == 1 else 'go'} together on the test films."
    if leaning:
        found += f" In {plural(leaning, 'case')} a network leans on the mark: its AUROC says little of how well it knows the finding."
    else:
        found += " No experiment is seen to lean on a mark."
    untold = verdicts.count(UNTOLD)
    if untold:
        found += f" In {plural(untold, 'case')} too few films break the link to tell: the AUROC there may be the mark's."
    return found


def _row(mark: str, finding: str, experiment: str, pair: Pair, said: str) -> list[str]:
    broken = pair["broken"]
    return [
        mark,
        finding,
        experiment,
        f"{100 * pair['share_of_positives']:.0f} %",
        f"{100 * pair['share_of_negatives']:.0f} %",
        *(_area(pair[name]) for name in ("mark_alone", "all", "without_mark", "broken")),
        f"{broken['positives']:,} / {broken['negatives']:,}",
        said,
    ]


def _area(row: dict[str, Any]) -> str:
    return "–" if row["value"] is None else f"{row['value']:.3f}"
