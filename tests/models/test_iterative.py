import pytest
import torch

from itersep.models.blocks.dprnn import DPRNNSpec
from itersep.models.filterbank import FilterbankSpec
from itersep.models.iterative import Carried, IterativeSeparator
from itersep.models.separator import SeparatorSpec

BANKS = {
    "time": FilterbankSpec("learned", 12, 8, 4),
    "freq": FilterbankSpec("stft", 17, 32, 16),
    "complex": FilterbankSpec("stft", 17, 32, 16, "complex"),
}
SMALL = DPRNNSpec(features=6, hidden=5, chunk=8)


def small(domain: str = "freq", **options: object) -> IterativeSeparator:
    """A small model in double precision, with every parameter away from its special starting value."""
    model = IterativeSeparator(BANKS[domain], dprnn=SMALL, **options).double()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def run_once(model: IterativeSeparator, mix: torch.Tensor, bias: torch.Tensor, iteration: int) -> torch.Tensor:
    """The estimates of one iteration with that bias."""
    return model.separate_once(mix, Carried(bias), iteration)[0][-1]


def mixtures(batch: int = 2, length: int = 403) -> torch.Tensor:
    return torch.randn(batch, length, dtype=torch.float64)


def gradients(model: IterativeSeparator) -> torch.Tensor:
    grads = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    model.zero_grad()
    return grads


domains = pytest.mark.parametrize("domain", BANKS)


@domains
def test_one_iteration_is_the_plain_network(domain: str) -> None:
    model, mix = small(domain), mixtures()
    plain = run_once(model, mix, torch.zeros(2, 2, 403, dtype=torch.float64), 0)
    torch.testing.assert_close(model(mix, iterations=1), plain)
    assert plain.shape == (2, 2, 403)


@domains
def test_each_iteration_takes_the_estimates_before_it_as_bias(domain: str) -> None:
    model, mix = small(domain, iterations=3), mixtures()
    outputs = [estimates[-1] for estimates in model.iterate(mix)]
    assert len(outputs) == 3
    for i in (1, 2):
        torch.testing.assert_close(outputs[i], run_once(model, mix, outputs[i - 1], i))
    assert (outputs[1] - outputs[0]).abs().max() > 1e-4


@domains
def test_detached_gradients_are_those_of_each_iteration_alone(domain: str) -> None:
    model, mix = small(domain, iterations=3), mixtures()
    outputs = [estimates[-1] for estimates in model.iterate(mix)]
    sum(output.square().sum() for output in outputs).backward()
    together = gradients(model)
    biases = [torch.zeros_like(outputs[0]), outputs[0].detach(), outputs[1].detach()]
    for i, bias in enumerate(biases):
        run_once(model, mix, bias, i).square().sum().backward()
    torch.testing.assert_close(together, gradients(model))


def test_detached_iterations_can_be_backpropagated_as_they_come() -> None:
    model, mix = small(iterations=3), mixtures()
    for estimates in model.iterate(mix):
        estimates[-1].square().sum().backward()
    as_they_come = gradients(model)
    sum(estimates[-1].square().sum() for estimates in model.iterate(mix)).backward()
    torch.testing.assert_close(as_they_come, gradients(model))


def test_without_detach_the_last_output_reaches_the_first_iteration() -> None:
    options = {"iterations": 2, "share_simo": False}
    for detach, reaches in ((True, False), (False, True)):
        model = small(detach=detach, **options)
        model(mixtures()).square().sum().backward()
        first = [parameter.grad for parameter in model.simo[0].parameters()]
        assert all((grad is not None and grad.abs().sum() > 0) == reaches for grad in first)


def test_layerwise_yields_every_siso_layer_and_ends_with_the_plain_output() -> None:
    model, mix = small(iterations=2), mixtures()
    for layers, plain in zip(model.iterate(mix, layerwise=True), model.iterate(mix), strict=True):
        assert len(layers) == 2 and len(plain) == 1
        torch.testing.assert_close(layers[-1], plain[0])
        assert (layers[0] - layers[1]).abs().max() > 1e-4


def test_without_siso_blocks_masks_come_from_simo() -> None:
    model = small(separator=SeparatorSpec(simo_blocks=3, siso_blocks=0))
    for layerwise in (False, True):
        assert [len(estimates) for estimates in model.iterate(mixtures(), layerwise=layerwise)] == [1]
    assert len(model.simo[0].blocks) == 3


def test_iterations_beyond_the_simo_parts_reuse_the_last() -> None:
    model, mix = small(iterations=2, share_simo=False), mixtures()
    assert len(model.simo) == 2
    outputs = [estimates[-1] for estimates in model.iterate(mix, iterations=4)]
    torch.testing.assert_close(outputs[3], run_once(model, mix, outputs[2], 1))
    assert (run_once(model, mix, outputs[2], 0) - outputs[3]).abs().max() > 1e-4


@domains
def test_batched_equals_single(domain: str) -> None:
    model, mix = small(domain, iterations=2), mixtures(batch=3)
    alone = torch.cat([model(example[None]) for example in mix])
    torch.testing.assert_close(model(mix), alone)


@domains
def test_a_louder_mixture_gives_louder_estimates(domain: str) -> None:
    model, mix = small(domain, iterations=2), mixtures()
    torch.testing.assert_close(model(100 * mix), 100 * model(mix), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("length", [1, 3, 31, 100])
@domains
def test_output_has_the_length_of_the_input(domain: str, length: int) -> None:
    assert small(domain)(mixtures(1, length)).shape == (1, 2, length)


def test_masks_start_around_an_even_share() -> None:
    for mask in ("real", "complex"):
        model = IterativeSeparator(BANKS["freq"], mask=mask, sources=4, dprnn=SMALL)
        torch.nn.init.zeros_(model.head.linear.weight)
        mix = torch.randn(2, 403)
        torch.testing.assert_close(model(mix), mix[:, None].expand(2, 4, 403) / 4)


def test_three_sources() -> None:
    assert small(sources=3, iterations=2)(mixtures()).shape == (2, 3, 403)


def test_papers_sizes() -> None:
    """Parameters counted by hand: an LSTM layer has 4 H (N + H) weights and 8 H biases a direction."""
    n, h, c = 64, 128, 2
    path = 2 * (4 * h * (n + h) + 8 * h) + (2 * h * n + n) + 2 * n
    for f, spec, chunk in ((128, FilterbankSpec(), 100), (257, FilterbankSpec("stft", 257, 512, 256), 24)):
        simo = 2 * (1 + c) * f + ((1 + c) * f * n + n) + 2 * path + (n * c * n + c * n)
        rest = 2 * 2 * path + (n * f + f) + (2 * f * 32 if spec.kind == "learned" else 0)
        for share, parts in ((True, 1), (False, 3)):
            model = IterativeSeparator(spec, iterations=3, share_simo=share, dprnn=DPRNNSpec(chunk=chunk))
            assert sum(p.numel() for p in model.parameters()) == parts * simo + rest


@pytest.mark.parametrize(
    "options",
    [{"sources": 0}, {"iterations": 0}, {"block": "brick"}, {"mask": "carnival"}, {"mask": "complex"}],
)
def test_impossible_models_are_refused_by_name(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        IterativeSeparator(**options)


@pytest.mark.parametrize("options", [{"simo_blocks": 0}, {"siso_blocks": -1}])
def test_impossible_separators_are_refused_by_name(options: dict) -> None:
    with pytest.raises(ValueError, match=f"separator.{next(iter(options))}"):
        SeparatorSpec(**options)


def test_feedback_says_what_an_iteration_takes_from_the_one_before() -> None:
    """Changing the bias or the state moves the output where the feedback has it, and not elsewhere."""
    mix = mixtures()
    for feedback, by_bias, by_state in (
        ("estimates", True, False),
        ("state", False, True),
        ("both", True, True),
        ("none", False, False),
    ):
        model = small(feedback=feedback, iterations=2)
        (first, maps), bias = model.separate_once(mix, Carried(), 0), torch.randn(2, 2, 403, dtype=torch.float64)
        given = model.separate_once(mix, Carried(first[-1], maps), 1)[0][-1]
        torch.testing.assert_close(model(mix), given)
        other_bias = model.separate_once(mix, Carried(bias, maps), 1)[0][-1]
        other_state = model.separate_once(mix, Carried(first[-1], -maps), 1)[0][-1]
        moved = [((other - given).abs().max() > 1e-6).item() for other in (other_bias, other_state)]
        assert moved == [by_bias, by_state], feedback


@pytest.mark.parametrize("feedback", ["state", "both"])
def test_state_is_detached_with_the_estimates(feedback: str) -> None:
    for detach, reaches in ((True, False), (False, True)):
        model = small(detach=detach, feedback=feedback, iterations=2, share_simo=False)
        model(mixtures()).square().sum().backward()
        assert all((p.grad is not None and p.grad.abs().sum() > 0) == reaches for p in model.simo[0].split.parameters())
