"""What the section on explanation says: where the networks look, and whether to believe it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ribcage.findings import FINDINGS
from ribcage.report import doubts, overlap, pointing
from ribcage.report.cams import NAMES, Cams
from ribcage.report.cards import KINDS, OUTCOMES, Pool, cards, kind_of
from ribcage.report.outcome import Experiment, best_of
from ribcage.words import plural

DISAGREE = "experts disagree"
"""Why a film was chosen on which radiologists and labels differ; the section on experts shows it."""
HOW = {
    "cam": "Class activation maps (CAM) are exact for these networks: the cells of a map add up to the finding's logit without its bias.",
    "grad_cam": "Grad-CAM weighs what a layer sees by the gradient of the finding's logit: an approximation.",
    "grad_cam_pp": "Grad-CAM++ weighs what a layer sees by the positive gradients of the finding's logit: an approximation.",
    "layer_cam": "LayerCAM weighs each cell of a layer by its own positive gradient: an approximation.",
    "guided_grad_cam": "Guided Grad-CAM shows pixels whose change would raise the logit, where Grad-CAM lets them through.",
    "occlusion": "Occlusion hides one square of the film after the other: a cell shows how much of the logit goes with it.",
}  # fmt: skip
MEANINGS = {
    "right-on": "judged rightly, and the peak lies in a reader's box: right for the right reason, as far as a box can tell",
    "right-off": "judged rightly, but the peak lies beside the box: perhaps right for the wrong reason, or the map is too coarse to tell",
    "wrong-on": "judged wrongly, though the peak lies in the box: it looks at the right place",
    "wrong-off": "judged wrongly, and the peak lies elsewhere",
    "right": "judged rightly; no reader's box says where to look, or the map points nowhere",
    "wrong": "judged wrongly; no reader's box says where to look, or the map points nowhere",
}  # fmt: skip


def section(
    experiments: list[Experiment],
    every: Sequence[Cams],
    curated: pd.DataFrame,
    published: Sequence[dict[str, Any]],
    source_kind: str,
    pool: Pool,
    others: int,
) -> dict[str, Any]:
    """The pointing game, boxes found, checks of the maps, and the gallery.

    Args:
        experiments: in the order of params.yaml.
        every: their maps, in the same order.
        curated: the kept images.
        published: of `literature.published_boxes`.
        source_kind: phantom, local or nih.
        pool: of the page's films; those of the gallery are taken in.
        others: of so many experiments besides the best the maps are shown.
    """
    best = _best(experiments, every)
    return {
        "sentence": pointing.sentence(best),
        "coarse": pointing.coarse(best),
        "how": f"{HOW[best.method]} {_where(best)}",
        "pointing": {
            "figures": pointing.figures(best),
            "tables": [
                {"title": f"Each finding: {one.name}", "table": table}
                for one in (best, *(one for one in every if one is not best))
                if (table := pointing.table(one)).rows
            ],
        },
        "compared": pointing.compared(every),
        "overlap": overlap.section(best, published, source_kind),
        "doubts": doubts.section(every, best),
        "gallery": gallery(experiments, every, best, curated.set_index("image"), pool, others),
    }


def _best(experiments: list[Experiment], every: Sequence[Cams]) -> Cams:
    best = best_of(experiments)
    return next(one for one in every if best is not None and one.name == best["name"])


def _where(best: Cams) -> str:
    layer = best.sanity.get("layer")
    at = f" at {layer}" if layer and best.method not in ("cam", "occlusion") else ""
    return (
        f"The network that is shown is {best.name}, the best on validation, by {NAMES[best.method]}{at}. "
        "A box is a reader's; the peak is the middle of a map's highest cell."
    )


def gallery(
    experiments: list[Experiment],
    every: Sequence[Cams],
    best: Cams,
    people: pd.DataFrame,
    pool: Pool,
    others: int,
) -> dict[str, Any]:
    """The maps as cards, by experiment and finding, and what the form offers to choose from.

    Args:
        experiments: in the order of params.yaml, with their curves.
        every: their maps, in the same order.
        best: of these; it comes first and is always shown.
        people: the kept images by name.
        pool: of the page's films.
        others: so many of the rest are shown, in their order.
    """
    curves = {experiment["name"]: experiment["curves"] for experiment in experiments}
    rest = [one for one in every if one is not best]
    left_out = [one.name for one in rest[others:]]
    sheets = []
    for one in (best, *rest[:others]):
        made = cards(one, _in_order(one.rows), people, curves[one.name], pool)
        sheets.append(_sheet(one, made, one is best))
    shown = [card for sheet in sheets for part in sheet["findings"] for card in part["cards"]]
    return {
        "sentence": _chosen(shown, left_out),
        "counted": _counted(best),
        "kinds": [(kind, KINDS[kind], MEANINGS[kind]) for kind in KINDS],
        "sheets": sheets,
        "form": _form(shown, best.name) if shown else [],
        "count": len(shown),
    }


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """The gallery's rows by finding and by outcome, else as they were chosen."""
    places = {name: at for at, name in enumerate((*FINDINGS, *OUTCOMES))}
    usual = rows[rows["why"] != DISAGREE]
    return usual.sort_values(
        ["finding", "outcome"], key=lambda names: names.map(places), kind="stable"
    )


def _sheet(one: Cams, made: list[dict[str, Any]], is_open: bool) -> dict[str, Any]:
    """The cards of an experiment, in folds by finding."""
    parts = []
    for finding in FINDINGS:
        of = [card for card in made if card["finding"] == finding]
        if of:
            tally = Counter(card["outcome"] for card in of)
            said = ", ".join(plural(count, outcome) for outcome, count in tally.items())
            parts.append({"finding": finding, "cards": of, "summary": said})
    return {
        "name": one.name,
        "style": one.style,
        "open": is_open,
        "summary": f"{plural(len(made), 'map')} of {plural(len(parts), 'finding')}",
        "findings": parts,
    }


def _chosen(shown: list[dict[str, Any]], left_out: list[str]) -> str:
    if not shown:
        return "No map is shown: no finding has a threshold."
    whys = Counter(card["data"]["why"] for card in shown)
    said = ", ".join(f"{count:,} {why}" for why, count in whys.items())
    text = f"{plural(len(shown), 'map')} of test films, chosen by rule and never by hand: {said}. So their shares are no rates."
    if left_out:
        text += f" The maps of {', '.join(left_out)} would make this page too large; they lie in reports/<experiment>/cams/."
    return text  # fmt: skip


def _counted(best: Cams) -> str:
    """How the shown maps with a box fall into the four cases."""
    rows = [row for _, row in _in_order(best.rows).iterrows() if not pd.isna(row["target"])]
    if not rows:
        return "None of the shown maps has a reader's box, so that none can be called on or off target."
    tally = Counter(kind_of(row) for row in rows)
    said = "; ".join(f"{tally[kind]} {words}" for kind, words in KINDS.items() if kind in tally)
    return f"Maps of {best.name} with a reader's box: {said}."  # fmt: skip


def _form(shown: list[dict[str, Any]], best: str) -> list[dict[str, Any]]:
    """The selects of the gallery's form: name, label, options as value and text, and the chosen one."""

    def held(key: str) -> list[str]:
        return list(dict.fromkeys(str(card["data"][key]) for card in shown))

    findings, kinds, outcomes = held("finding"), held("kind"), held("outcome")
    selects = {
        "experiment": [(name, name) for name in held("experiment")],
        "finding": [(name, name) for name in FINDINGS if name in findings],
        "outcome": [(key, said) for key, said in OUTCOMES.items() if key in outcomes],
        "kind": [(key, said) for key, said in KINDS.items() if key in kinds],
        "why": [(why, why) for why in held("why")],
        "view": [(view, view) for view in sorted(held("view"))],
    }
    labels = {"kind": "right or wrong", "why": "chosen as"}
    return [
        {
            "name": name,
            "label": labels.get(name, name),
            "options": options,
            "chosen": best if name == "experiment" else "",
        }
        for name, options in selects.items()
    ]


def disagreements(
    experiments: list[Experiment], every: Sequence[Cams], curated: pd.DataFrame, pool: Pool
) -> list[dict[str, Any]]:
    """Cards of the films of the best experiment on which radiologists and labels differ.

    Args:
        experiments: in the order of params.yaml.
        every: their maps, in the same order.
        curated: the kept images.
        pool: of the page's films.
    """
    best = best_of(experiments)
    assert best is not None  # the schema asks for an experiment
    one = _best(experiments, every)
    rows = one.rows[one.rows["why"] == DISAGREE]
    return cards(one, rows, curated.set_index("image"), best["curves"], pool)
