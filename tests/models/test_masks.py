"""Masks on complex spectra, by complex arithmetic."""

import pytest
import torch

from itersep.models.masks import MASKS


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_multiplies_each_bin(name: str) -> None:
    outputs, mix = torch.randn(2, 3, len(MASKS[name]().start(3)), 5, 4), torch.randn(2, 1, 2, 5, 4)
    factor = torch.relu(outputs[:, :, 0]) + 0j if name == "real" else torch.complex(outputs[:, :, 0], outputs[:, :, 1])
    expected = factor * torch.complex(mix[:, :, 0], mix[:, :, 1])
    est = MASKS[name]().apply(outputs, mix)
    torch.testing.assert_close(est, torch.stack([expected.real, expected.imag], dim=2))
