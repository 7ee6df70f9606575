import pytest
import torch
from torch import nn

from itersep.models.blocks.dprnn import DPRNNBlock, DPRNNSpec


def test_block_treats_each_example_alone() -> None:
    block = DPRNNBlock(4, 6)
    x = torch.randn(3, 5, 7, 4)
    alone = torch.cat([block(example[None]) for example in x])
    torch.testing.assert_close(block(x), alone, atol=1e-5, rtol=1e-5)


def test_intra_path_stays_within_chunks_and_inter_path_across_them() -> None:
    block = DPRNNBlock(4, 6)
    for path in (block.intra, block.inter):
        path.norm = nn.Identity()  # the norm alone looks at the whole example
    x = torch.randn(1, 5, 7, 4)
    changed = x.clone()
    changed[0, 2, 3] += 1
    moved = (block.intra(changed) - block.intra(x)).abs().sum(-1)[0] > 0  # (S, K)
    assert moved[2].all() and moved.sum() == 7
    swapped = (block.inter(changed.transpose(1, 2)) - block.inter(x.transpose(1, 2))).abs().sum(-1)[0] > 0  # (K, S)
    assert swapped[3].all() and swapped.sum() == 5


def test_block_is_residual() -> None:
    block = DPRNNBlock(4, 6)
    for path in (block.intra, block.inter):
        nn.init.zeros_(path.norm.gain)
    x = torch.randn(2, 5, 7, 4)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("options", [{"features": 0}, {"hidden": 0}, {"chunk": 7}])
def test_impossible_sizes_are_refused_by_name(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        DPRNNSpec(**options)
