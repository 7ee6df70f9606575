import torch
from torch import nn

from itersep.models.norm import GlobalNorm


def test_global_norm_is_group_norm_with_one_group() -> None:
    norm, theirs = GlobalNorm(5), nn.GroupNorm(1, 5, eps=1e-8)
    nn.init.normal_(norm.gain)
    nn.init.normal_(norm.offset)
    theirs.load_state_dict({"weight": norm.gain.data, "bias": norm.offset.data})
    x = torch.randn(3, 4, 6, 5)
    torch.testing.assert_close(norm(x), theirs(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
