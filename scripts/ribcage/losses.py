"""Losses: binary cross-entropy of 14 findings at once, unweighted or weighted."""

import numpy as np
import torch
from torch.nn import functional

MIN_POSITIVES = 0.5
"""What counts for the log odds of a finding that the training split does not have."""


def positive_weights(labels: np.ndarray, weighting: str) -> np.ndarray:
    """How much a positive counts, float32 [14].

    Args:
        labels: bool [n, 14] of the training split.
        weighting: `unweighted` (1), or `weighted` (negatives / positives; 1 for a finding that no
            film has, or every film, of which there is nothing to weigh).
    """
    positives = labels.sum(axis=0)
    if weighting == "unweighted":
        return np.ones(labels.shape[1], np.float32)
    negatives = len(labels) - positives
    weights = negatives / np.maximum(positives, 1)
    return np.where((positives > 0) & (negatives > 0), weights, 1.0).astype(np.float32)


def starting_log_odds(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The constant logits at which the loss is least, float32 [14]: the start of the head's biases.

    Under a weight w the best constant is the log odds plus log w: 0 for negatives / positives.
    """
    positives = np.maximum(labels.sum(axis=0), MIN_POSITIVES)
    negatives = np.maximum(len(labels) - positives, MIN_POSITIVES)
    return (np.log(positives / negatives) + np.log(weights)).astype(np.float32)


def bce(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy over films and findings.

    Args:
        logits: [n, 14].
        labels: float [n, 14] of 0 and 1.
        weights: [14], what a positive counts.
    """
    return functional.binary_cross_entropy_with_logits(logits.float(), labels, pos_weight=weights)
