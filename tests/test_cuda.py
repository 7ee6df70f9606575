"""On a GPU: the same as on the CPU, resumed to the bit, in memory that stays flat over detached iterations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from itersep.losses.objective import Objective
from itersep.models.blocks.dprnn import DPRNNSpec
from itersep.models.filterbank import FilterbankSpec, make_filterbank
from itersep.models.iterative import IterativeSeparator
from itersep.separate.waves import load
from itersep.train.config import Experiment
from itersep.train.distributed import World, choose_backend
from itersep.train.runtime import choose_device
from itersep.train.trainer import Trainer
from tests.runs import assert_same_run, find_meeting, history

Build = Callable[..., Experiment]
GPU = "--train.device=cuda"
ALL_TERMS = ("--objective.layerwise=true", "--objective.oracle_bias=true", "--model.share_simo=false")


@pytest.mark.parametrize("overrides", [(), ("--model.detach=false",), ALL_TERMS], ids=["detached", "kept", "all-terms"])
def test_a_step_is_that_of_the_cpu(
    experiment: Build, tmp_path: Path, cuda: torch.device, overrides: tuple[str, ...]
) -> None:
    ref = torch.randn(4, 2, 2000, dtype=torch.float64)

    def step(*options: str) -> tuple[float, list[torch.Tensor]]:
        trainer = Trainer(experiment("--train.batch_size=4", *overrides, *options), tmp_path)
        trainer.model.double()
        value = trainer.backward(ref.sum(1).to(trainer.device), ref.to(trainer.device))
        return value, [parameter.grad.cpu() for parameter in trainer.model.parameters()]

    value, grads = step(GPU)
    expected, expected_grads = step()
    assert value == pytest.approx(expected, rel=1e-9)
    for grad, other in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-6, atol=1e-9)


def test_a_run_goes_on_to_the_bit_and_its_model_is_used_anywhere(
    experiment: Build, tmp_path: Path, cuda: torch.device
) -> None:
    options = (GPU, "--train.precision=auto", "--train.workers=1")
    Trainer(experiment(*options), tmp_path / "whole").fit()
    Trainer(experiment(*options, "--train.epochs=1"), tmp_path / "cut").fit()
    Trainer(experiment(*options), tmp_path / "cut").fit()
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    assert [line["skipped"] for line in history(tmp_path / "cut")] == [0, 0, 0]

    mix = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    here, there = (load(tmp_path / "whole/best.pt", device).separate(mix, 8000) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(there, here, atol=2e-3 * np.abs(here).max())


@pytest.mark.parametrize("spec", [FilterbankSpec(), FilterbankSpec("stft", 257, 512, 256)], ids=["learned", "stft"])
def test_fp32_is_fp32_there(spec: FilterbankSpec, cuda: torch.device) -> None:
    """Of a filterbank; as torch starts, convolutions on a GPU keep 10 bits of a number."""
    choose_device("cuda")
    bank, wave = make_filterbank(spec), torch.randn(2, 4000)
    encoded = bank.encode(wave)
    bank, there = bank.to(cuda), wave.to(cuda)
    torch.testing.assert_close(bank.encode(there).cpu(), encoded, atol=1e-5 * encoded.abs().max().item(), rtol=0)


def test_memory_stays_flat_over_detached_iterations(cuda: torch.device) -> None:
    """What torch's allocator gave out at most, of a network and mixtures large enough for its blocks not to count."""

    def peak(**options: object) -> int:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(cuda)
        before = torch.cuda.memory_allocated(cuda)
        model = IterativeSeparator(FilterbankSpec("stft", 257, 512, 256), dprnn=DPRNNSpec(chunk=24), **options).to(cuda)
        ref = torch.randn(2, 2, 32000, device=cuda)
        terms = Objective().terms(model, ref.sum(1), ref)
        if model.detach:
            for loss, _ in terms:
                loss.backward()
        else:
            sum(loss for loss, _ in terms).backward()
        return torch.cuda.max_memory_allocated(cuda) - before

    peak()  # what libraries keep for themselves from their first use on
    one = peak(iterations=1)
    assert peak(iterations=4, detach=True) < 1.1 * one
    assert peak(iterations=4, detach=False) > 2 * one


def test_sums_go_through_nccl_from_the_gpu_and_gloo_beside_it(
    cuda: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process alone, which yet sends: two cannot share a GPU."""
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, **find_meeting()}.items():
        monkeypatch.setenv(name, str(value))
    distributed.init_process_group(choose_backend())
    try:
        world = World(0, size=2)
        parameter = torch.nn.Parameter(torch.zeros(3, device=cuda))
        parameter.grad = torch.arange(3.0, device=cuda)
        assert world.sum_gradients([parameter], 5.0) == [5.0]
        assert parameter.grad.tolist() == [0, 1, 2]
        assert world.gather([1.5]).tolist() == [[1.5], [0.0]]
    finally:
        distributed.destroy_process_group()
