import math

import torch

from itersep.losses.sdr import si_sdr, snr


def signals() -> tuple[torch.Tensor, torch.Tensor]:
    ref = torch.randn(3, 2, 1000)
    return ref + 0.3 * torch.randn_like(ref), ref


def orthogonal(ref: torch.Tensor) -> torch.Tensor:
    noise = torch.randn_like(ref)
    return noise - (noise * ref).sum(-1, keepdim=True) / ref.square().sum(-1, keepdim=True) * ref


def test_closed_forms() -> None:
    _, ref = signals()
    noise = orthogonal(ref)
    noise *= (ref.norm(dim=-1) / noise.norm(dim=-1))[..., None]  # as loud as ref
    for gain_db in (-5.0, 0.0, 20.0):
        est = ref + 10 ** (-gain_db / 20) * noise
        expected = torch.full(ref.shape[:-1], gain_db)
        torch.testing.assert_close(snr(est, ref), expected, atol=1e-3, rtol=0)
        torch.testing.assert_close(si_sdr(3 * est, ref), expected, atol=1e-3, rtol=0)


def test_half_of_the_signal_has_an_snr_of_6_db() -> None:
    _, ref = signals()
    torch.testing.assert_close(snr(ref / 2, ref), torch.full((3, 2), 20 * math.log10(2)), atol=1e-3, rtol=0)


def test_si_sdr_does_not_see_scale_and_snr_does() -> None:
    est, ref = signals()
    torch.testing.assert_close(si_sdr(0.1 * est, 7 * ref), si_sdr(est, ref), atol=1e-3, rtol=0)
    assert (snr(0.1 * est, ref) - snr(est, ref)).abs().min() > 1


def test_faint_signals_have_the_ratios_of_loud_ones() -> None:
    est, ref = signals()
    for metric in (snr, si_sdr):
        torch.testing.assert_close(metric(1e-3 * est, 1e-3 * ref), metric(est, ref), atol=0.02, rtol=0)


def test_snr_tells_its_arguments_apart() -> None:
    est, ref = signals()
    assert (snr(2 * est, ref) - snr(ref, 2 * est)).abs().min() > 1


def test_batched_equals_single() -> None:
    est, ref = signals()
    for metric in (snr, si_sdr):
        alone = torch.stack([metric(e, r) for e, r in zip(est.flatten(0, 1), ref.flatten(0, 1), strict=True)])
        torch.testing.assert_close(metric(est, ref).flatten(), alone)


def test_silence_gives_finite_values_and_gradients() -> None:
    for est, ref in ((torch.zeros(100), torch.randn(100)), (torch.randn(100), torch.zeros(100))):
        for metric in (snr, si_sdr):
            est = est.detach().clone().requires_grad_()
            value = metric(est, ref)
            value.backward()
            assert value.isfinite() and est.grad.isfinite().all()
