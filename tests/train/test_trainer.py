import logging
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from itersep.data.audio import read_audio, write_audio
from itersep.losses.pit import pit
from itersep.losses.sdr import si_sdr
from itersep.system.errors import UserError
from itersep.train.average import BestEpochs
from itersep.train.checkpoint import load_model
from itersep.train.config import Experiment, OptimizerSpec, learning_rate
from itersep.train.progress import Progress, RunLog
from itersep.train.runtime import can_use_bf16, use_bf16
from itersep.train.trainer import MAX_SKIPPED_IN_A_ROW, Trainer
from tests.runs import assert_same, assert_same_run, history

Build = Callable[..., Experiment]


SHORT = "--data.epoch_size=2"  # an epoch of one step


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["model"]


class Interrupted(BaseException):
    pass


def interrupt_after(trainer: Trainer, steps: int, monkeypatch: pytest.MonkeyPatch, save: bool) -> None:
    """Make the trainer stop in the middle of everything after some steps, having saved just before or not."""
    step = trainer.step

    def counted(mix: torch.Tensor, ref: torch.Tensor) -> bool:
        if trainer.progress.step == steps:
            if save:
                trainer.save()
            raise Interrupted
        return step(mix, ref)

    monkeypatch.setattr(trainer, "step", counted)
    with pytest.raises(Interrupted):
        trainer.fit()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("steps", "save"), [(3, True), (5, True), (7, False), (12, True)])
def test_an_interrupted_run_ends_like_an_undisturbed_one(
    whole: Path,
    experiment: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
    save: bool,
    workers: int,
) -> None:
    interrupt_after(Trainer(experiment(), tmp_path / "cut"), steps, monkeypatch, save)
    Trainer(experiment(f"--train.workers={workers}"), tmp_path / "cut").fit()
    assert_same_run(whole, tmp_path / "cut")
    assert len(history(tmp_path / "cut")) == 3


def test_a_run_cut_at_any_rename_ends_like_an_undisturbed_one(
    experiment: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, left = os.replace, math.inf

    def cut(source: Path, target: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Interrupted
        rename(source, target)

    monkeypatch.setattr(os, "replace", cut)
    options = ("--train.epochs=2", SHORT, "--train.save_every_s=0", "--train.average_best=2")
    options += ("--model.iterations=1", "--model.separator.siso_blocks=0")  # of no matter here
    Trainer(experiment(*options), tmp_path / "whole").fit()
    for renames in range(99):
        left, out = renames, tmp_path / f"cut{renames}"
        try:
            Trainer(experiment(*options), out).fit()
            break
        except Interrupted:
            left = math.inf
            Trainer(experiment(*options), out).fit()
            assert_same_run(tmp_path / "whole", out)
    assert renames == 15  # last.pt 6 times and previous.pt 5, best.pt and history.jsonl 2 each


@pytest.mark.parametrize("left", ["history.jsonl", "best.pt"])
def test_records_and_a_model_without_a_checkpoint_are_not_overwritten(
    experiment: Build, tmp_path: Path, left: str
) -> None:
    Trainer(experiment("--train.epochs=1", SHORT), tmp_path).fit()
    before = (tmp_path / left).read_bytes()
    for name in {"history.jsonl", "best.pt", "last.pt", "previous.pt"} - {left}:
        (tmp_path / name).unlink()
    with pytest.raises(UserError, match="has the records or the model of a training, but no checkpoint"):
        Trainer(experiment("--train.epochs=1", SHORT), tmp_path)
    assert (tmp_path / left).read_bytes() == before


def test_what_is_killed_in_validation_does_not_train_the_epoch_again(
    experiment: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(trainer: Trainer) -> None:
        raise Interrupted

    Trainer(experiment("--train.epochs=1"), tmp_path / "whole").fit()
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(Trainer, "validate", die)
        Trainer(experiment("--train.epochs=1"), tmp_path / "cut").fit()
    resumed = Trainer(experiment("--train.epochs=1"), tmp_path / "cut")
    monkeypatch.setattr(resumed, "step", die)
    resumed.fit()
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_workers_that_would_want_the_gpu_of_their_training_are_refused(
    experiment: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itersep.train.trainer.choose_device", lambda *_: torch.device("cuda", 0))
    with pytest.raises(UserError, match="engine is gpurir.* set train.workers to 0"):
        Trainer(experiment("--data.simulation.engine=gpurir", "--train.workers=1"), tmp_path)


def test_what_the_network_draws_at_random_is_drawn_again_after_an_interruption(
    experiment: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--train.epochs=1", "--train.draw_iterations=true")

    def build(name: str) -> Trainer:
        trainer = Trainer(experiment(*options), tmp_path / name)
        trainer.model.head.register_forward_pre_hook(
            lambda mask, args: (torch.nn.functional.dropout(args[0], 0.2, mask.training), *args[1:])
        )
        return trainer

    build("whole").fit()
    interrupt_after(build("cut"), 3, monkeypatch, save=True)
    build("cut").fit()
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    Trainer(experiment(*options), tmp_path / "without").fit()
    assert history(tmp_path / "without") != history(tmp_path / "whole")


def test_a_checkpoint_cut_short_is_named_and_the_one_before_it_is_used(
    experiment: Build,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cut = tmp_path / "cut"
    interrupt_after(Trainer(experiment("--train.save_every_s=0"), cut), 8, monkeypatch, save=False)
    last = (cut / "last.pt").read_bytes()
    assert last != (cut / "previous.pt").read_bytes()
    (cut / "last.pt").write_bytes(last[: len(last) // 2])
    with caplog.at_level(logging.WARNING):
        trainer = Trainer(experiment(), cut)
    assert f"{cut}/last.pt: is cut short or damaged" in caplog.text and trainer.progress.step == 7
    interrupt_after(
        trainer, 7, monkeypatch, save=False
    )  # at once: the damaged file has not taken the whole one's place
    Trainer(experiment(), cut).fit()
    assert_same_run(whole, cut)
    for name in ("last.pt", "previous.pt"):
        (cut / name).write_bytes(b"nothing")
    with pytest.raises(UserError, match="previous.pt: corrupt, or not an itersep checkpoint"):
        Trainer(experiment(), cut)
    (cut / "previous.pt").unlink()
    with pytest.raises(UserError, match="last.pt: corrupt, or not an itersep checkpoint"):
        Trainer(experiment(), cut)


def test_best_weights_are_the_mean_of_those_of_the_best_epochs(
    experiment: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [5.0, 3.0, 4.0, 3.0, 6.0]
    trainer = Trainer(experiment("--train.epochs=5", "--train.average_best=3", SHORT), tmp_path)
    after = []

    def validate() -> dict:
        after.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
        return {"valid_loss": losses[len(after) - 1], "valid_si_sdri_db": [0.0, 0.0]}

    monkeypatch.setattr(trainer, "validate", validate)
    trainer.fit()
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert best["epochs"] == [2, 4, 3]
    for name, value in best["model"].items():
        mean = sum(after[epoch - 1][name].double() for epoch in best["epochs"]) / 3
        torch.testing.assert_close(value.double(), mean, rtol=1e-6, atol=1e-7)
    assert [record["valid_loss"] for record in history(tmp_path)] == losses


def test_averaging_one_epoch_changes_nothing() -> None:
    best = BestEpochs(1)
    weights = {"w": torch.randn(5), "n": torch.tensor(3)}
    assert best.offer(1, 2.0, weights)
    for loss in (2.0, 3.0, math.inf, math.nan):
        assert not best.offer(2, loss, {"w": torch.zeros(5), "n": torch.tensor(0)})
    assert best.epochs == [1] and best.mean()["n"].dtype == torch.int64
    assert all(torch.equal(best.mean()[name], value) for name, value in weights.items())


def test_the_same_seed_gives_the_same_run_and_another_does_not(experiment: Build, tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        Trainer(experiment(f"--train.seed={seed}", "--train.epochs=1"), tmp_path / name).fit()
    assert_same_run(tmp_path / "one", tmp_path / "same")
    assert history(tmp_path / "one") != history(tmp_path / "other")


@pytest.mark.parametrize("overrides", [(), ("--objective.layerwise=true",), ("--objective.oracle_bias=true",)])
def test_backward_as_iterations_come_equals_backward_of_the_sum(
    experiment: Build, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    trainer = Trainer(experiment("--model.iterations=3", *overrides), tmp_path)
    trainer.model.double()
    ref = torch.randn(2, 2, 1000, dtype=torch.float64)
    value = trainer.backward(ref.sum(1), ref)
    grads = [parameter.grad.clone() for parameter in trainer.model.parameters()]
    trainer.model.zero_grad()
    total = sum(loss for loss, _ in trainer.objective.terms(trainer.model, ref.sum(1), ref))
    total.backward()
    assert value == pytest.approx(total.item())
    for grad, parameter in zip(grads, trainer.model.parameters(), strict=True):
        torch.testing.assert_close(grad, parameter.grad)


def test_training_makes_the_loss_better_and_keeps_the_best_model(experiment: Build, tmp_path: Path) -> None:
    Trainer(experiment("--optimizer.lr=0.01", "--train.epochs=4"), tmp_path).fit()
    records = history(tmp_path)
    assert records[-1]["train_loss"] < records[0]["train_loss"] - 1
    model, config = load_model(tmp_path)
    assert not model.training and config["optimizer"]["lr"] == 0.01
    best = min(records, key=lambda record: record["valid_loss"])
    assert torch.load(tmp_path / "best.pt", weights_only=True)["epochs"] == [best["epoch"]]
    trainer = Trainer(experiment("--optimizer.lr=0.01", "--train.epochs=4"), tmp_path / "other")
    trainer.model = model
    assert trainer.validate()["valid_loss"] == pytest.approx(best["valid_loss"], abs=1e-4)


@pytest.mark.parametrize(("one_pass_epochs", "told"), [(0, [5.0, 4.0, 4.5, 4.0]), (2, [3.0, 4.0, 5.0, 4.5])])
def test_training_stops_when_patience_is_over(
    experiment: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_pass_epochs: int, told: list[float]
) -> None:
    """It begins after the epochs of one pass."""
    options = (SHORT, "--train.epochs=20", "--train.patience=2", f"--train.one_pass_epochs={one_pass_epochs}")
    trainer = Trainer(experiment(*options), tmp_path)
    losses = iter([*told, 3.0])
    monkeypatch.setattr(trainer, "validate", lambda: {"valid_loss": next(losses), "valid_si_sdri_db": [0.0]})
    trainer.fit()
    assert [record["valid_loss"] for record in history(tmp_path)] == told
    assert trainer.finished


def test_the_network_trains_in_training_mode_and_is_validated_in_evaluation_mode(
    experiment: Build, tmp_path: Path
) -> None:
    trainer, modes = Trainer(experiment("--train.epochs=2"), tmp_path), set()
    trainer.model.head.register_forward_pre_hook(lambda mask, _: modes.add((mask.training, torch.is_grad_enabled())))
    trainer.fit()
    assert modes == {(True, True), (False, False)}
    assert [record["mixtures"] for record in history(tmp_path)] == [10, 20]


def test_validation_is_the_mean_over_mixtures(experiment: Build, tmp_path: Path) -> None:
    trainer = Trainer(experiment("--train.batch_size=3"), tmp_path)  # batches of 1, 3 and 1 mixtures
    losses, gains_db = [], []
    for index in range(5):
        mix, ref = (part[None] for part in trainer.validation[(0, index)])
        with torch.inference_mode():
            terms = list(trainer.objective.terms(trainer.model, mix, ref))
            unprocessed_db = si_sdr(mix[:, None], ref).mean()
            losses.append(sum(loss.item() for loss, _ in terms))
            gains_db.append([(pit(si_sdr, est, ref)[0] - unprocessed_db).item() for _, est in terms])
    found = trainer.validate()
    assert found["valid_loss"] == pytest.approx(np.mean(losses), abs=1e-4)
    assert found["valid_si_sdri_db"] == pytest.approx(np.mean(gains_db, axis=0), abs=1e-3)


def spoil(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, spoiled: range) -> None:
    """Turn the loss of some steps into NaN."""
    terms = trainer.objective.terms

    class Spoiled:
        def terms(self, *args: object) -> object:
            for loss, est in terms(*args):
                yield loss * (math.nan if trainer.progress.step in spoiled else 1), est

    monkeypatch.setattr(trainer, "objective", Spoiled())


def test_a_step_that_is_not_finite_is_skipped_and_counted(
    experiment: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(experiment("--train.epochs=1"), tmp_path)
    spoil(trainer, monkeypatch, range(1, 3))
    monkeypatch.setattr(trainer, "validate", lambda: {"valid_loss": 0.0, "valid_si_sdri_db": [0.0]})
    trainer.fit()
    (record,) = history(tmp_path)
    assert record["skipped"] == 2 and math.isfinite(record["train_loss"])
    assert all(value.isfinite().all() for value in weights(tmp_path / "last.pt").values())


def test_a_step_whose_gradient_is_not_finite_is_left_out(experiment: Build, tmp_path: Path) -> None:
    trainer, ref = Trainer(experiment(), tmp_path), torch.randn(2, 2, 1000)
    trainer.model.head.linear.bias.register_hook(lambda grad: grad * math.inf)
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    trainer.step(ref.sum(1), ref)
    assert trainer.progress.skipped == 1
    assert all(map(torch.equal, before, trainer.model.parameters()))


def test_the_gradient_is_clipped(experiment: Build, tmp_path: Path) -> None:
    trainer, ref = Trainer(experiment("--optimizer.clip_norm=0.001"), tmp_path), torch.randn(2, 2, 1000)
    trainer.step(ref.sum(1), ref)
    norm = torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-2)


def test_skipped_steps_have_no_loss_and_count_together_only_in_a_row() -> None:
    progress = Progress()
    for loss in (None, None, 1.0, None, 3.0, None):
        progress.count_step(loss)
    assert (progress.skipped, progress.skipped_in_a_row, progress.mean_loss) == (4, 1, 2.0)
    progress.end_epoch({"valid_loss": 0.0}, patient=False)
    progress.count_step(7.0)
    assert (progress.batch, progress.step, progress.mean_loss) == (1, 7, 7.0)


def test_ten_such_steps_in_a_row_stop_the_run(
    experiment: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(experiment("--data.epoch_size=40"), tmp_path)
    spoil(trainer, monkeypatch, range(2, 99))
    with pytest.raises(UserError, match="10 steps in a row"):
        trainer.fit()
    assert trainer.progress.skipped == MAX_SKIPPED_IN_A_ROW


def test_what_another_machine_left_half_written_is_removed(experiment: Build, tmp_path: Path) -> None:
    left = tmp_path / ".last.another-machine.7.pt"
    left.touch()
    Trainer(experiment("--train.epochs=1", SHORT), tmp_path).fit()
    assert not left.exists()


def test_tensorboard_has_each_epoch_once_where_a_run_went_back(experiment: Build, tmp_path: Path) -> None:
    Trainer(experiment(SHORT, "--train.epochs=2"), tmp_path).fit()
    shutil.copy(tmp_path / "previous.pt", tmp_path / "last.pt")  # as if killed before it was written
    Trainer(experiment(SHORT, "--train.epochs=3"), tmp_path).fit()
    told = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("valid_loss")
    assert [event.step for event in told] == [1, 2, 3]


def test_going_on_with_another_configuration_is_refused_by_name(experiment: Build, tmp_path: Path) -> None:
    Trainer(experiment("--train.epochs=1", SHORT), tmp_path).fit()
    with pytest.raises(UserError, match="last.pt: was trained with model.iterations = 2, not 3"):
        Trainer(experiment("--model.iterations=3", SHORT), tmp_path).fit()
    Trainer(experiment("--train.epochs=2", "--train.workers=1", SHORT), tmp_path).fit()
    assert len(history(tmp_path)) == 2


def test_going_on_with_other_data_under_the_same_names_is_refused(
    experiment: Build, tmp_path: Path, speech_dir: Path, mixture_dir: Path
) -> None:
    """Other lengths, or other samples of the same lengths; older versions noted the former, or nothing."""
    Trainer(experiment("--train.epochs=1", SHORT), tmp_path / "exp").fit()
    state = torch.load(tmp_path / "exp/last.pt", weights_only=True)
    changed = [speech_dir / "utt2dur", mixture_dir / "audio" / "spk2" / "m3.wav"]
    before = [path.read_bytes() for path in changed]
    changed[0].write_bytes(before[0].replace(b"s0-0 1.5", b"s0-0 1.4"))
    with pytest.raises(UserError, match=f"last.pt: was trained with other data than {speech_dir}"):
        Trainer(experiment("--train.epochs=2", SHORT), tmp_path / "exp")
    changed[0].write_bytes(before[0])
    write_audio(changed[1], read_audio(changed[1], 8000)[::-1], 8000)
    with pytest.raises(UserError, match="last.pt: was trained with other data"):
        Trainer(experiment("--train.epochs=2", SHORT), tmp_path / "exp")
    del state["audio"]
    torch.save(state, tmp_path / "exp/last.pt")
    Trainer(experiment("--train.epochs=2", SHORT), tmp_path / "exp")
    del state["data"]
    torch.save(state, tmp_path / "exp/last.pt")
    Trainer(experiment("--train.epochs=2", SHORT), tmp_path / "exp")
    with pytest.raises(UserError, match="last.pt: was trained with other data"):
        Trainer(experiment("--train.epochs=2", SHORT, f"--data.noise={speech_dir}"), tmp_path / "exp")


def test_going_on_with_the_same_data_elsewhere_changes_nothing(
    experiment: Build, tmp_path: Path, speech_dir: Path, noise_dir: Path, mixture_dir: Path
) -> None:
    Trainer(experiment("--train.epochs=1", SHORT), tmp_path / "exp").fit()
    shutil.copytree(tmp_path / "exp", tmp_path / "moved")
    places = {"train": speech_dir, "noise": noise_dir, "dev": mixture_dir}
    for place in places.values():
        copy = shutil.copytree(place, tmp_path / "scratch" / place.name, copy_function=shutil.copyfile)
        for table in copy.glob("*.scp"):
            table.write_text(table.read_text().replace(str(place), str(copy)))
    Trainer(experiment("--train.epochs=2", SHORT), tmp_path / "exp").fit()
    moved = [f"--data.{name}={tmp_path}/scratch/{place.name}" for name, place in places.items()]
    Trainer(experiment("--train.epochs=2", SHORT, *moved), tmp_path / "moved").fit()
    one, other = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("exp", "moved"))
    assert_same(one["model"], other["model"])


def test_validation_takes_no_more_at_a_time_than_a_step(experiment: Build, tmp_path: Path) -> None:
    trainer = Trainer(experiment("--train.batch_size=4", "--train.accumulate=2"), tmp_path)
    sizes, network = [], trainer.model.iterate
    trainer.model.iterate = lambda mix, *args, **kwargs: sizes.append(len(mix)) or network(mix, *args, **kwargs)
    trainer.validate()
    assert max(sizes) == 2 and sum(sizes) == len(trainer.validation)


def test_a_checkpoint_from_before_a_setting_was_added_is_gone_on_with(experiment: Build, tmp_path: Path) -> None:
    Trainer(experiment("--train.epochs=1", SHORT), tmp_path).fit()
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    del state["config"]["optimizer"]["schedule"], state["config"]["data"]["simulation"]["peak_limit"]
    kept = state.pop("best")
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    torch.save(state, tmp_path / "last.pt")
    torch.save(best | {"epoch": best.pop("epochs")[0]}, tmp_path / "best.pt")
    trainer = Trainer(experiment("--train.epochs=2", SHORT), tmp_path)
    assert_same(trainer.best.kept, kept)
    trainer.fit()
    assert len(history(tmp_path)) == 2


def test_a_batch_larger_than_an_epoch_is_refused(experiment: Build, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train.batch_size is 11"):
        Trainer(experiment("--train.batch_size=11"), tmp_path)


def test_one_pass_epochs_train_the_first_iteration_alone(experiment: Build, tmp_path: Path) -> None:
    overrides = ("--train.epochs=2", "--model.share_simo=false")
    trainer = Trainer(experiment("--train.one_pass_epochs=1", *overrides), tmp_path)
    second = [parameter.clone() for parameter in trainer.model.simo[1].parameters()]
    ref = torch.randn(2, 2, 1000)
    for epoch, moves in ((0, False), (1, True)):
        trainer.progress.epoch = epoch
        trainer.step(ref.sum(1), ref)
        moved = [not torch.equal(a, b) for a, b in zip(second, trainer.model.simo[1].parameters(), strict=True)]
        assert all(moved) if moves else not any(moved)


def test_drawn_iterations_are_even_and_follow_from_the_step(experiment: Build, tmp_path: Path) -> None:
    trainer = Trainer(experiment("--train.draw_iterations=true", "--model.iterations=3"), tmp_path)
    drawn = []
    for trainer.progress.step in range(600):
        drawn.append(trainer.step_iterations())
    assert min(np.bincount(drawn)[1:]) > 150 and set(drawn) == {1, 2, 3}
    trainer.progress.step = 7
    assert trainer.step_iterations() == drawn[7]


def test_a_step_trains_the_iterations_that_it_draws(experiment: Build, tmp_path: Path) -> None:
    trainer = Trainer(experiment("--train.draw_iterations=true", "--model.share_simo=false"), tmp_path)
    ref = torch.randn(2, 2, 1000)
    for _ in range(8):
        drawn, before = trainer.step_iterations(), [weight.clone() for weight in trainer.model.simo[1].parameters()]
        trainer.optimizer.state.clear()  # whose moments would move weights that have no gradient
        trainer.step(ref.sum(1), ref)
        moved = [not torch.equal(a, b) for a, b in zip(before, trainer.model.simo[1].parameters(), strict=True)]
        assert all(moved) == any(moved) == (drawn == 2)


def test_learning_rate_of_the_paper() -> None:
    spec = OptimizerSpec()
    rates = [learning_rate(spec, 10 * epoch, steps_per_epoch=10, epochs=100) for epoch in range(100)]
    assert rates[0] == rates[1] == 1e-3
    assert rates[2] == rates[3] == pytest.approx(0.98e-3)
    assert rates[99] == pytest.approx(1e-3 * 0.98**49)


def test_cosine_falls_from_the_highest_rate_to_zero_and_warmup_rises_to_it() -> None:
    spec = OptimizerSpec(schedule="cosine")
    at = [learning_rate(spec, step, steps_per_epoch=10, epochs=2) for step in (0, 10, 20)]
    assert at == pytest.approx([1e-3, 0.5e-3, 0.0], abs=1e-12)
    for schedule in ("step", "cosine"):
        warm = OptimizerSpec(schedule=schedule, warmup_steps=4)
        for step in range(6):
            plain = learning_rate(replace(warm, warmup_steps=0), step, 10, 2)
            assert learning_rate(warm, step, 10, 2) == pytest.approx(plain * min(1, (step + 1) / 4))


def test_every_step_has_the_rate_of_its_schedule(experiment: Build, tmp_path: Path) -> None:
    built = experiment("--train.epochs=2", "--optimizer.warmup_steps=8", "--optimizer.schedule=cosine")
    Trainer(built, tmp_path).fit()
    rates = [record["lr"] for record in history(tmp_path)]
    assert rates == pytest.approx([learning_rate(built.optimizer, step, 5, 2) for step in (4, 9)])


def test_bf16_trains_or_is_refused_before_anything_is_written(experiment: Build, tmp_path: Path) -> None:
    trained = experiment("--train.precision=bf16", "--train.epochs=2", SHORT)
    if can_use_bf16(torch.device("cpu")):
        Trainer(trained, tmp_path / "bf16").fit()
        assert len(history(tmp_path / "bf16")) == 2
    else:  # such as a processor without AVX-512
        with pytest.raises(UserError, match=r"train\.precision is bf16"):
            Trainer(trained, tmp_path / "bf16")
        assert not (tmp_path / "bf16").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp32", "auto"])
def test_without_units_for_bf16_only_bf16_is_refused(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(torch.nn.LSTM, "forward", fail)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    if precision == "bf16":
        with pytest.raises(UserError, match="use auto or fp32"):
            use_bf16(precision, torch.device("cpu"))
    else:
        assert not use_bf16(precision, torch.device("cpu"))


def test_a_schedule_that_ends_at_the_last_epoch_is_not_made_longer(experiment: Build, tmp_path: Path) -> None:
    for schedule in ("step", "cosine"):
        options, out = (f"--optimizer.schedule={schedule}", SHORT), tmp_path / schedule
        Trainer(experiment(*options, "--train.epochs=1"), out).fit()
        if schedule == "cosine":
            with pytest.raises(UserError, match="was trained with train.epochs = 1, not 2"):
                Trainer(experiment(*options, "--train.epochs=2"), out)
        else:
            Trainer(experiment(*options, "--train.epochs=2"), out).fit()


@pytest.mark.parametrize(("gains_db", "told"), [([-22.2, -19.6], "20 dB worse than the mixture"), ([-12.0, -3.0], "")])
def test_a_network_that_fell_silent_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gains_db: list[float], told: str
) -> None:
    record = {"epoch": 1, "train_loss": 0.0, "valid_loss": 0.0, "valid_si_sdri_db": gains_db, "lr": 0.002}
    record |= {"seconds": 9.0, "data_wait_s": 0.0, "mixtures_per_s": 3.0}
    log = RunLog(tmp_path, speaks=True)
    with log.open(0):
        log.write([record], better=True)
    warnings = [line.message for line in caplog.records if line.levelno == logging.WARNING]
    assert len(warnings) == bool(told) and all(told in line for line in warnings)
