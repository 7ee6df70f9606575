"""The generalized iterative separation network (paper, Figure 1 D)."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from itersep.models.blocks import BLOCKS, BlockSpec
from itersep.models.filterbank import FilterbankSpec, make_filterbank
from itersep.models.masks import MASKS
from itersep.models.separator import SeparatorSpec, Simo, Siso

Feedback = Literal["estimates", "state", "both", "none"]


class Carried(NamedTuple):
    """What an iteration takes from the one before; None where nothing is carried."""

    bias: Tensor | None = None  # estimates (B, C, T)
    state: Tensor | None = None  # last feature maps (B * C, ..., N)


class IterativeSeparator(nn.Module):
    """Separates a mixture again and again, each time with what it found before as additional input.

    Args:
        filterbank: encoder and decoder
        separator: numbers of SIMO and SISO blocks
        block: kind of block, a name in `itersep.models.blocks.BLOCKS`; its sizes are the group of that name
        mask: kind of mask, a name in `itersep.models.masks.MASKS`
        sample_rate: of its signals, in hertz
        sources: number C of sources in a mixture
        iterations: separations in training, and in inference where not asked otherwise
        feedback: what an iteration takes from the one before: estimates (the paper's), state (the last feature
            maps), both, or none
        share_simo: one SIMO part for all iterations; otherwise one each (Table 3), the last serving any further ones
        detach: cut the gradient between iterations (Table 1), so that each can be backpropagated on its own
        specs: sizes of blocks by kind; the kind's defaults where missing
    """

    def __init__(
        self,
        filterbank: FilterbankSpec = FilterbankSpec(),  # noqa: B008 - frozen
        separator: SeparatorSpec = SeparatorSpec(),  # noqa: B008 - frozen
        block: str = "dprnn",
        mask: str = "real",
        sample_rate: int = 16000,
        sources: int = 2,
        iterations: int = 1,
        feedback: Feedback = "estimates",
        share_simo: bool = True,
        detach: bool = True,
        **specs: BlockSpec,
    ) -> None:
        super().__init__()
        for name, value in (("sample_rate", sample_rate), ("sources", sources), ("iterations", iterations)):
            if value < 1:
                raise ValueError(f"model.{name} must be at least 1, not {value}")
        for name, kind, known in (("block", block, list(BLOCKS)), ("mask", mask, list(MASKS))):
            if kind not in known:
                raise ValueError(f"model.{name} is '{kind}'; it is one of {', '.join(known)}")
        self.sample_rate, self.sources, self.iterations = sample_rate, sources, iterations
        self.feedback, self.detach = feedback, detach
        self.filterbank = make_filterbank(filterbank)
        self.mask = MASKS[mask]()
        if self.mask.parts not in (None, self.filterbank.parts):
            raise ValueError(f"model.mask is {mask}, which needs the stft, not the {filterbank.kind} filterbank")
        self.block = spec = specs.get(block) or BLOCKS[block]()
        channels = 1 + sources * self.takes_bias
        self.simo = nn.ModuleList(
            Simo(separator.simo_blocks, spec, channels, filterbank.inputs, sources, self.takes_state)
            for _ in range(1 if share_simo else iterations)
        )
        self.siso = Siso(separator.siso_blocks, spec)
        self.head = spec.make_head(filterbank.filters, self.mask.start(sources))

    @property
    def takes_bias(self) -> bool:
        """Whether estimates are an input."""
        return self.feedback in ("estimates", "both")

    @property
    def takes_state(self) -> bool:
        """Whether the last feature maps are an input."""
        return self.feedback in ("state", "both")

    def iterate(self, mix: Tensor, iterations: int | None = None, layerwise: bool = False) -> Iterator[list[Tensor]]:
        """Yield one iteration after the other: its estimates, each (B, C, T), the last of which is the iteration's.

        The estimates of an iteration are the bias of the next, in the same order, so that the order of the sources
        is kept. With `detach` the graphs of the iterations are disjoint: each can be backpropagated and freed before
        the next is asked for, and memory does not grow with their number.

        Args:
            mix: mixtures (B, T)
            iterations: how many; the model's own number by default
            layerwise: yield an estimate for every SISO block (section 2.2), not for the last alone
        """
        carried = Carried()
        for i in range(self.iterations if iterations is None else iterations):
            estimates, maps = self.separate_once(mix, carried, i, layerwise)
            yield estimates
            carried = Carried(*(x.detach() if self.detach else x for x in (estimates[-1], maps)))

    def separate_once(
        self, mix: Tensor, carried: Carried, iteration: int, layerwise: bool = False
    ) -> tuple[list[Tensor], Tensor]:
        """One iteration (counted from 0): mix (B, T) to estimates (B, C, T), one a scored layer; and the last maps.

        Of ``carried`` it takes what its feedback says; a bias that is missing is zeros.
        """
        signals = [mix[:, None]]
        if self.takes_bias:
            zeros = mix.new_zeros(mix.shape[0], self.sources, mix.shape[1])
            signals.append(zeros if carried.bias is None else carried.bias)
        encoded = self.filterbank.encode(torch.cat(signals, dim=1))  # (B, I, P, F, L)
        features = self.filterbank.features(encoded).movedim(-1, 1)  # (B, L, I, F)
        simo = self.simo[min(iteration, len(self.simo) - 1)]
        layers = list(self.siso.layers(simo(features, carried.state if self.takes_state else None)))
        scored = layers if layerwise else layers[-1:]
        return [self._apply_mask(encoded[:, :1], maps, mix.shape[-1]) for maps in scored], layers[-1]

    def forward(self, mix: Tensor, iterations: int | None = None) -> Tensor:
        """Estimates of the last iteration: (B, T) -> (B, C, T)."""
        for estimates in self.iterate(mix, iterations):
            last = estimates[-1]
        return last

    def _apply_mask(self, encoded_mix: Tensor, maps: Tensor, length: int) -> Tensor:
        """Mask of each source on the mixture's (B, 1, P, F, L) encoding, decoded to (B, C, T)."""
        outputs = self.head(maps, encoded_mix.shape[-1])  # (B * C, L, O, F)
        outputs = outputs.movedim(1, -1).unflatten(0, (-1, self.sources))  # (B, C, O, F, L)
        return self.filterbank.decode(self.mask.apply(outputs, encoded_mix), length)


def make_model(settings: Mapping[str, Any]) -> IterativeSeparator:
    """The network that the model part of a plain configuration describes."""
    specs: dict[str, Any] = {"filterbank": FilterbankSpec, "separator": SeparatorSpec, **BLOCKS}
    return IterativeSeparator(
        **{name: specs[name](**value) if name in specs else value for name, value in settings.items()}
    )
