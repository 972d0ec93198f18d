"""Judging predictions: every number with its interval over patients and its counts.

bootstrap.py      resamples of patients, and areas of all resamples at once
intervals.py      from resamples to 95 % intervals
delong.py         standard errors of an AUROC in closed form, as a check
trails.py         a statistic of the sample and of its resamples, in one array
ranking.py        how well scores rank films
confusion.py      sensitivity, specificity, PPV, NPV and F1 at thresholds
calibration.py    whether a probability means what it says, and two corrections
scoring.py        all of these for one split
curves.py         ROC, precision and recall, reliability, with bands
paired.py         differences between groups, or experiments, on the same resamples
strata.py         groups of films, and pairs of the same view
density_ratio.py  weights that give one set of films another's mix
case_mix.py       how much of validation less test is who is on the films
shortcuts.py      marks that go with a finding
readers.py        readers against each other
experts.py        a model, and the labels, against radiologists
evaluate.py       all of it, for one set of predictions
"""
