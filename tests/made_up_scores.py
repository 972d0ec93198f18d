"""Made-up results in the forms of score_predictions and its neighbours, for tests of the page."""

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm

from ribcage.findings import FINDINGS
from ribcage.literature import Bound

KINDS = ("youden", "f1", "sensitivity", "specificity")
SETTINGS = {"resamples": 2000, "sensitivity": 0.9, "specificity": 0.9, "bins": 10, "seed": 1}
FILMS = 2000
RARE = ("Hernia",)
"""Findings on fewer patients than a score needs."""
GROUPS = {
    "view_position": ("PA", "AP"),
    "sex": ("F", "M"),
    "age_years": ("0-17", "18-39", "40-59", "60-79", "80+"),
    "follow_up": ("first film", "later films"),
    "findings": ("1", "2", "3+"),
    "device": ("with any mark", "without a mark"),
}
CURVES = ["split", "class", "curve", "x", "y", "low", "high", "threshold", "films"]


def row(value, half=0.02, positives=90, patients=None, films=FILMS):
    """A metric with its interval."""
    held = {"value": value, "low": None, "high": None}
    if value is not None:
        held |= {"low": round(value - half, 6), "high": round(value + half, 6)}
    patients = positives // 2 if patients is None else patients
    return {**held, "positives": positives, "negatives": films - positives, "patients": patients}


def counted(finding):
    """Positives and patients of a finding."""
    positives = 12 if finding in RARE else 60 + 17 * FINDINGS.index(finding)
    return {"positives": positives, "patients": positives * 2 // 3}


def of_class(area, error, known, rng):
    """All rows of a finding, macro or micro."""
    share = known["positives"] / FILMS
    scores = {
        "auroc": row(area, 0.03, **known) | {"se_delong": 0.010, "se_clustered": 0.0155},
        "ap": row(share + (area - 0.5) * 0.6, **known) | {"prevalence": share},
        "auroc_partial": row(0.5 + (area - 0.5) * 0.5, **known),
        "auroc_patient_weighted": row(area - 0.01, **known),
        "ap_patient_weighted": row(share + 0.1, **known),
        "ap_balanced": row(area - 0.05, **known),
        "brier": row(share * (1 - share) + error**2, 0.005, **known),
        "ece": row(error, 0.004, **known) | {"expected": 0.012},
        "at": {},
    }
    for end, left in (("temperature", 0.6), ("prior", 0.1)):
        scores[f"brier_{end}"] = row(share * (1 - share), 0.005, **known)
        scores[f"ece_{end}"] = row(0.012 + left * (error - 0.012), 0.004, **known)
    for kind in KINDS:
        rates = {name: row(float(rng.uniform(0.3, 0.9)), **known) for name in ("ppv", "npv", "f1")}
        rates |= {"sensitivity": row(0.7, **known), "specificity": row(0.8, **known)}
        cells = {"tp": 40, "fp": 320, "fn": 20, "tn": 1620}
        scores["at"][kind] = {"threshold": 0.125, **rates, "confusion": cells}
    return scores


def split(level, error, rng, fitted=True):
    """The scores of one split: score_split's form."""
    scores, areas = {}, []
    for number, finding in enumerate(FINDINGS):
        area = float(np.clip(level + 0.02 * (number % 7 - 3) + rng.normal(0, 0.005), 0.5, 0.99))
        areas.append(area)
        scores[finding] = of_class(area, error, counted(finding), rng)
    known = {"positives": 900, "patients": 500}
    for name in ("macro", "micro"):
        held = scores[name] = of_class(float(np.mean(areas)), error, known, rng)
        for metric in held:
            if metric != "at":
                held[metric]["findings"] = 14
        held["ap"] = row(0.27) | {"prevalence": 0.085, "findings": 14}
    for kind in KINDS:
        del scores["macro"]["at"][kind]["confusion"], scores["macro"]["at"][kind]["threshold"]
    for name in ("weighted", "samples"):
        means = {n: row(float(rng.uniform(0.3, 0.6))) for n in ("precision", "recall", "f1")}
        scores[name] = {"at": dict.fromkeys(KINDS, means)}
    if not fitted:
        for held in scores.values():
            held["at"] = {}
            for name in [n for n in held if n.endswith(("_temperature", "_prior"))]:
                held[name] = row(None) | ({"findings": 0} if "findings" in held[name] else {})
    return scores


def mark(all_films=0.85, broken=0.6, low=0.1):
    """A mark and a finding, as shortcuts.score_marks has it."""
    drop = {"value": all_films - broken, "low": low, "high": all_films - broken + 0.1}
    return {
        "share_of_positives": 0.85,
        "share_of_negatives": 0.03,
        "all": row(all_films),
        "with_mark": row(0.7),
        "without_mark": row(0.7),
        "mark_alone": row(0.9),
        "broken": row(broken, positives=30),
        "drop": drop,
    }


def case_mix(val=0.83, test=0.80, mixed=0.81):
    """case_mix.compare's form."""
    rows = {"val": row(val), "test": row(test), "val_as_test": row(mixed), "gap": row(val - test)}
    rows |= {"case_mix": row(val - mixed, 0.01), "rest": row(mixed - test)}
    covariate = {"covariate": "AP view", "val": 0.38, "test": 0.46, "val_as_test": 0.45, "off": 0.0}
    unknown = {**covariate, "covariate": "age in years", "val": None}
    held = {"findings": 13, **rows, "films": 900, "effective_films": 612.4}
    return {**held, "covariates": [covariate, unknown], "sentence": "The gap is <small>."}


def experts():
    """experts.score's form."""
    found = {"films": {}}
    questions = {"four": ("Pneumothorax", "Nodule or mass", "Airspace opacity"), "all": FINDINGS}
    rates = ("sensitivity", "specificity", "ppv", "npv", "kappa")
    for kind, asked in questions.items():
        counts = {"listed": 810, "scored": 700, "val": 60, "left_out": 50}
        found["films"][kind] = counts
        found[kind] = {
            question: {
                "films": 700,
                "ours": [question],
                "model_on_experts": row(
                    0.82, 0.05, **counted(question if kind == "all" else "Mass")
                ),
                "model_on_labels": row(0.79, 0.06),
                "difference": row(0.03, 0.05),
                "labels_as_reader": {name: row(0.3, positives=60) for name in rates},
            }
            for question in asked
        }  # fmt: skip
    names = ("others_auroc", "model_auroc", "majority_auroc", "kappa")
    found["readers"] = {
        f: {"films": 700, **{n: row(0.8, **counted(f)) for n in names}} for f in FINDINGS
    }
    found["readers_mean"] = {"findings": 13} | {n: row(0.8) for n in names if n != "majority_auroc"}
    return found


def curves_of(scores, shift):
    """Curves of normal scores with these areas, and reliability shifted by some logits."""
    parts = []
    for name in (*FINDINGS, "macro", "micro"):
        area, share = scores[name]["auroc"]["value"], scores[name]["ap"]["prevalence"]
        x = np.concatenate([[0], np.linspace(0.001, 0.999, 198), [1]])
        y = norm.cdf(norm.ppf(x) + np.sqrt(2) * norm.ppf(area))
        shown = {"roc": (x, y, 0.03)}
        precision = y * share / np.maximum(y * share + x * (1 - share), 1e-9)
        shown["pr"] = (y[1:], precision[1:], 0.04)
        if name != "macro":
            at = expit(logit(np.linspace(0.01, 0.6, 10)) + shift)
            shown["reliability"] = (at, expit(logit(at) - shift), 0.02)
        for curve, (along, up, half) in shown.items():
            part = pd.DataFrame({"split": "test", "class": name, "curve": curve, "x": along})
            part["y"], part["low"], part["high"] = up, up - half, up + half
            scored = curve != "reliability" and name != "macro"
            at = np.r_[np.inf, np.linspace(0.99, 0.001, len(along) - 1)] if scored else np.nan
            parts.append(part.assign(threshold=at, films=200))
    return pd.concat(parts, ignore_index=True)[CURVES]


def strata_of(level, rng):
    """strata.score's form: AP films fare worse, and the oldest are too few."""
    rows = []
    for variable, groups in GROUPS.items():
        for number, group in enumerate(groups):
            for name in (*FINDINGS, "macro"):
                for metric, middle in (("auroc", level), ("miss_rate", 0.6)):
                    patients = 9 if group == "80+" or name in RARE else 60
                    gap = (-0.06 if group == "AP" else 0.0) + float(rng.normal(0, 0.01))
                    value, half = middle + gap, 0.03 + 0.01 * number
                    known = [gap, gap - half, gap + half, 90, 600, patients]
                    ends = [value - half, value + half]
                    rows.append([variable, group, 690, name, metric, value, *ends, *known])
    columns = ["variable", "group", "films", "class", "metric", "value", "low", "high"]
    columns += ["gap", "gap_low", "gap_high", "positives", "negatives", "patients"]
    return pd.DataFrame(rows, columns=columns)


def judged(name, style, level=0.8, error=0.02, shift=0.0, seeds=(1,), of_run=True, seed=0):
    """An import; or, if of this run, the part of an experiment that concerns its scores."""
    rng = np.random.default_rng(seed)
    test = split(level, error, rng, fitted=of_run)
    matched = {
        n: row(test[n]["auroc"]["value"] - 0.03, **(counted(n) if n in FINDINGS else {}))
        for n in (*FINDINGS, "macro")
    }
    test |= {"view_matched": matched, "marks": {"drain": {"Mass": mark()}}}
    of_seed = {"mean": level, "sd": 0.003, "least": level - 0.003, "most": level + 0.004}
    spread = {n: {"auroc": of_seed, "ap": of_seed} for n in (*FINDINGS, "macro")}
    fits = {finding: {"temperature": 1.21, "offset": -shift} for finding in FINDINGS}
    metrics = {
        "experiment": name,
        "seeds": list(seeds),
        "settings": SETTINGS,
        "fitted": {"thresholds": {}, "calibration": fits} if of_run else None,
        "splits": {**({"val": split(level + 0.03, error, rng)} if of_run else {}), "test": test},
        "spread": spread if len(seeds) > 1 else {},
        "experts": experts() if of_run else {},
        "case_mix": case_mix() if of_run else None,
    }
    parts = {"metrics": metrics, "curves": curves_of(test, shift), "strata": strata_of(level, rng)}
    return {"name": name, "style": style, **parts}


def experiments(names=("plain", "heavy", "whole"), seeds=(1,)):
    """Three of them: unweighted, weighted, and on whole films."""
    forms = (
        {"size_px": 64, "view": "lungs", "weighting": "unweighted"},
        {"size_px": 64, "view": "lungs", "weighting": "weighted"},
        {"size_px": 64, "view": "full", "weighting": "unweighted"},
    )
    made = [
        judged(names[0], "e0", 0.800, 0.020, 0.0, seeds, seed=1),
        judged(names[1], "e1", 0.795, 0.250, 2.5, seeds, seed=2),
        judged(names[2], "e2", 0.770, 0.022, 0.1, seeds, seed=3),
    ]
    return [{**one, "settings": form} for one, form in zip(made, forms, strict=True)]


def imported(name="theirs", style="e3", test=None, same_films=True):
    """An import without validation films, whose model had learnt from some test films."""
    seen = {"weights": name, "known": True, "train": 0, "val": 0, "test": test or 0}
    seen["sentence"] = f"{name} has learnt from {test or 0} of these films."
    about = {"name": name, "file": "<theirs>.csv", "sha256": "ab" * 32, "of": "own_test"}
    about |= {"same_films": same_films}
    about |= {"films": FILMS, "left_out": 3, "missing_findings": ["Hernia"], "seen": seen}
    return {**judged(name, style, 0.82, of_run=False, seed=4), "about": about}


def comparison(made):
    """compare_experiments' form: differences of the values as they are."""

    def less(one, other, metric, half=0.015):
        found = {}
        for name in (*FINDINGS, "macro"):
            value = one[name][metric]["value"] - other[name][metric]["value"]
            known = counted(name) if name in FINDINGS else {}
            found[name] = row(value, half, **known) | {"better_share": 0.5 + np.sign(value) * 0.4}
        return found

    def test(one):
        return one["metrics"]["splits"]["test"]

    pairs = []
    for number, one in enumerate(made):
        for other in made[number + 1 :]:
            differs = [k for k, v in one["settings"].items() if v != other["settings"][k]]
            pair = {"one": one["name"], "other": other["name"], "differs": differs}
            pairs.append(pair | {m: less(test(one), test(other), m) for m in ("auroc", "ap")})
    blind = baseline()
    against = {one["name"]: less(test(one), blind, "auroc", 0.03) for one in made}
    return {"pairs": pairs, "against_baseline": against}


def baseline():
    """score_metadata_baseline's scores of the test films."""
    return split(0.62, 0.02, np.random.default_rng(9))


def published():
    """literature.published's form, of made-up studies."""
    rows = []
    for study, of, level in (("Some", "official", 0.80), ("Others", "random", 0.84)):
        for name in (*FINDINGS, "mean"):
            known = {"study": study, "year": 2019, "model": "DenseNet-121", "split": of}
            known |= {"class": name, "auroc": level, "printed": f"{level:.4f}"}
            known |= {"computed": name == "mean", "identifier": "arXiv:1" if of == "random" else ""}
            known |= {"second_hand": of == "random", "source": "a <journal>"}
            rows.append({**known, "note": "its <own> split"})
    return rows


BOUNDS = {f: Bound(0.8, 0.36, 0.23, 5 if f in RARE else 50) for f in FINDINGS}
"""literature.PUBLISHED_BOUNDS' form."""
