"""The training objective: which outputs of the iterative network are scored, and how the scores add up."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from itersep.losses.pit import pit
from itersep.losses.sdr import snr
from itersep.models.iterative import Carried, IterativeSeparator


@dataclass(frozen=True)
class Objective:
    """Negative SNR under PIT, averaged over outputs, mixtures and iterations.

    Args:
        layerwise: score the output of every SISO block, not of the last alone (Table 2)
        oracle_bias: add the loss of one more pass whose bias is the clean targets (Table 4)
    """

    layerwise: bool = False
    oracle_bias: bool = False

    def terms(
        self, model: IterativeSeparator, mix: Tensor, ref: Tensor, iterations: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (loss, est) an iteration; the losses sum to the objective. mix (B, T), ref and est (B, C, T).

        With `model.detach` each loss may be backpropagated before the next is asked for. The oracle pass, if any,
        comes last; there est is in the order of the targets, since the bias was. ``iterations`` None takes the
        model's own number.
        """
        iterations = model.iterations if iterations is None else iterations
        for estimates in model.iterate(mix, iterations, self.layerwise):
            losses = [-pit(snr, est, ref)[0].mean() for est in estimates]
            yield sum(losses) / len(losses) / iterations, estimates[-1]
        if self.oracle_bias:
            estimates = model.separate_once(mix, Carried(ref), model.iterations - 1, self.layerwise)[0]
            losses = [-snr(est, ref).mean() for est in estimates]
            yield sum(losses) / len(losses), estimates[-1]
