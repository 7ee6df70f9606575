"""The training objective: which outputs of the iterative network are scored, and how the scores add up."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal

from torch import Tensor

from itersep.losses.pit import assigned, best_permutation, pairwise
from itersep.losses.sdr import snr
from itersep.models.iterative import Carried, IterativeSeparator


@dataclass(frozen=True)
class Objective:
    """Negative SNR under PIT, averaged over outputs, mixtures and iterations.

    Args:
        layerwise: score the output of every SISO block, not of the last alone (Table 2)
        oracle_bias: add the loss of one more pass whose bias is the clean targets (Table 4)
        order: each scored output has the order of speakers that suits it best (own, the paper's), or all outputs of a
            mixture have the one whose scores sum to most (common), for which they stay in memory together
    """

    layerwise: bool = False
    oracle_bias: bool = False
    order: Literal["own", "common"] = "own"

    def terms(
        self, model: IterativeSeparator, mix: Tensor, ref: Tensor, iterations: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (loss, est) an iteration; the losses sum to the objective. mix (B, T), ref and est (B, C, T).

        With `model.detach` each loss may be backpropagated before the next is asked for. The oracle pass, if any,
        comes last; there est is in the order of the targets, since the bias was. ``iterations`` None takes the
        model's own number.
        """
        iterations = model.iterations if iterations is None else iterations
        for scores, est in self._scores(model, mix, ref, iterations):
            losses = [-score.mean() for score in scores]
            yield reduce(add, losses) / len(losses) / iterations, est
        if self.oracle_bias:
            estimates = model.separate_once(mix, Carried(ref), model.iterations - 1, self.layerwise)[0]
            losses = [-snr(est, ref).mean() for est in estimates]
            yield reduce(add, losses) / len(losses), estimates[-1]

    def _scores(
        self, model: IterativeSeparator, mix: Tensor, ref: Tensor, iterations: int
    ) -> Iterator[tuple[list[Tensor], Tensor]]:
        """Yield an iteration's scores (B,), one an output, and its last estimates."""
        passes = model.iterate(mix, iterations, self.layerwise)
        scored = (([pairwise(snr, est, ref) for est in estimates], estimates[-1]) for estimates in passes)
        if self.order == "own":
            for tables, est in scored:
                yield [assigned(table, best_permutation(table)) for table in tables], est
            return
        kept = list(scored)
        perm = best_permutation(reduce(add, (table for tables, _ in kept for table in tables)))
        for tables, est in kept:
            yield [assigned(table, perm) for table in tables], est
