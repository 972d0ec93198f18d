"""What the section on shortcuts says: marks that go with a finding, and networks that lean on them."""

from typing import Any

from ribcage.metrics import LEAST
from ribcage.report.cells import FEW_PATIENTS, NONE, change, few, span, withheld
from ribcage.report.outcome import Experiment
from ribcage.report.sections import Table
from ribcage.words import plural

Pair = dict[str, Any]
"""What `metrics.json` holds of a mark and a finding."""
GOES_WITH = 0.60
"""A mark goes with a finding where its AUROC as a prediction is this, or 1 minus this."""
DROP = 0.10
"""By how much the AUROC must fall, at least, where finding and mark part."""
VERDICT = 3
"""Its column."""
LEANS, NO_SIGN = "leans on it", "no sign"
UNSURE = "perhaps: too few films to be sure"
UNTOLD = "too few films break the link to tell"
RARE = "too few patients with the finding to tell"

RULE = (
    f"A mark is listed where it goes with a finding: taken as the prediction, its AUROC is at least {GOES_WITH:.2f} "
    f"or at most {1 - GOES_WITH:.2f}. “Broken” are only those films of which the mark says the opposite of the label: "
    "for a mark that goes with the finding, positives without it against negatives with it. A network that reads the finding "
    "ranks them as well as others; one that reads the mark ranks them the wrong way round. A network is said to lean "
    f"on the mark, or on what comes with it, where its AUROC on the broken films is at least {DROP:.2f} lower than on all films, and "
    "the 95 % interval of that drop (patients drawn, the same for both) leaves out zero. "
    f"With fewer than {LEAST} positives or {LEAST} negatives nothing is computed; where fewer than {FEW_PATIENTS} patients have the finding, "
    "nothing is judged. Broken films are few by nature: their AUROC is shown however few they are, with their counts beside it."
)


def verdict(pair: Pair) -> str:
    """Say whether a network leans on a mark, by `RULE`."""
    drop = pair["drop"]
    if withheld(pair["all"]):
        return RARE
    if drop["value"] is None:
        return UNTOLD
    if drop["value"] < DROP:
        return NO_SIGN
    return LEANS if drop["low"] is not None and drop["low"] > 0 else UNSURE


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
                leaning.append(f"{experiment['name']} leans on {mark} for {finding}: {_lean(mark, pair)}")  # fmt: skip
    header = [
        "mark", "finding", "experiment", "verdict", "bears it: positives", "negatives", "AUROC of the mark alone",
        "AUROC: all films", "without the mark", "broken", "drop", "broken: positives / negatives",
    ]  # fmt: skip
    return {
        "sentence": _sentence(
            len(marks), len(listed), len(leaning), [row[VERDICT] for row in rows]
        ),
        "leaning": leaning,
        "rule": RULE if marks else "",
        "table": Table(header, rows, text=(0, 1, 2, VERDICT)),
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
    rare = verdicts.count(RARE)
    if rare:
        found += f" In {plural(rare, 'case')} too few patients have the finding to tell."
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
        said,
        f"{100 * pair['share_of_positives']:.0f} %",
        f"{100 * pair['share_of_negatives']:.0f} %",
        *(_area(pair[name]) for name in ("mark_alone", "all", "without_mark")),
        NONE if broken["value"] is None else span(broken),
        NONE if pair["drop"]["value"] is None else change(pair["drop"]),
        f"{broken['positives']:,} / {broken['negatives']:,}",
    ]


def _area(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return NONE
    return few(row["patients"]) if withheld(row) else span(row)


def _lean(mark: str, pair: Pair) -> str:
    without = pair["without_mark"]
    aside = "" if withheld(without) else f"{span(without)} on those without {mark}, "
    return f"AUROC {span(pair['all'])} on all films, {aside}{_broken(pair['broken'])}."


def _broken(row: dict[str, Any]) -> str:
    counts = f"{plural(row['positives'], 'positive')} and {plural(row['negatives'], 'negative')}"
    return f"{span(row)} on the {counts} that break the link"
