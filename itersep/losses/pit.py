"""Permutation invariant training (Kolbaek et al., 2017): the scores of all pairs, then the best assignment of them."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

EXHAUSTIVE_UP_TO = 3  # with more sources the Hungarian algorithm is faster than trying all permutations


def pairwise(score: Callable[[Tensor, Tensor], Tensor], est: Tensor, ref: Tensor) -> Tensor:
    """Scores of every estimate against every reference: est, ref (B, C, T) -> (B, C, C), [b, i, j] of est i, ref j."""
    return score(est[:, :, None], ref[:, None, :])


def best_permutation(scores: Tensor) -> Tensor:
    """The assignment with the highest sum: scores (B, C, C) -> (B, C), est[b, perm[b, c]] goes with ref[b, c].

    No gradient passes. Between equal sums the first in lexicographic order is taken (up to three sources).
    """
    scores = scores.detach().float()
    sources = scores.shape[-1]
    if sources <= EXHAUSTIVE_UP_TO:
        candidates = torch.tensor(list(permutations(range(sources))), device=scores.device)  # (C!, C)
        totals = scores[:, candidates, torch.arange(sources, device=scores.device)].sum(-1)  # (B, C!)
        return candidates[totals.argmax(-1)]
    matrices = np.nan_to_num(scores.cpu().numpy())  # which of those that are not finite are assigned does not matter
    columns = [linear_sum_assignment(matrix.T, maximize=True)[1] for matrix in matrices]
    return torch.as_tensor(np.stack(columns), device=scores.device)


def assigned(scores: Tensor, perm: Tensor) -> Tensor:
    """Mean score (B,) under an assignment: scores (B, C, C), perm (B, C) of `best_permutation`."""
    return scores.gather(1, perm[:, None, :]).squeeze(1).mean(-1)


def permute(est: Tensor, perm: Tensor) -> Tensor:
    """Put estimates (B, C, T) in the order of the references, by the result (B, C) of `best_permutation`."""
    return est.gather(1, perm[:, :, None].expand_as(est))


def pit(score: Callable[[Tensor, Tensor], Tensor], est: Tensor, ref: Tensor) -> tuple[Tensor, Tensor]:
    """Mean score under the best assignment (B,), and that assignment (B, C)."""
    scores = pairwise(score, est, ref)
    perm = best_permutation(scores)
    return assigned(scores, perm), perm
