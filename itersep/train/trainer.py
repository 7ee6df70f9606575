"""The training loop: step, epoch, validation, checkpoints, early stop; it goes on where it was."""

import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from itersep.losses.pit import pit
from itersep.losses.sdr import si_sdr
from itersep.system.errors import UserError
from itersep.train.average import BestEpochs
from itersep.train.checkpoint import clear_checkpoints, last_checkpoint, load_checkpoint, save_checkpoint
from itersep.train.config import Experiment, check_same_data, check_same_experiment, fingerprint, learning_rate
from itersep.train.dataset import (
    Item,
    collate,
    data_digests,
    training_batches,
    training_set,
    validation_batches,
    validation_set,
)
from itersep.train.distributed import ALONE, World
from itersep.train.network import load_weights
from itersep.train.progress import Progress, RunLog
from itersep.train.runtime import (
    StopSignals,
    autocast,
    choose_device,
    keep_freed_memory,
    leave_signals_to_parent,
    peak_memory_mib,
    use_bf16,
)

MAX_SKIPPED_IN_A_ROW = 10


class Trainer:
    """Trains the model of an experiment into a folder, from its last checkpoint on if there is one.

    All processes of ``world`` do the same to the same state; they differ in the data that they take, and in that only
    the leading one writes.
    """

    def __init__(self, experiment: Experiment, out: Path, world: World = ALONE) -> None:
        self.experiment, self.out, self.world = experiment, out, world
        self.train, self.objective = experiment.train, experiment.objective
        if self.train.threads:
            torch.set_num_threads(self.train.threads)
        keep_freed_memory()
        self.device = choose_device(self.train.device, world.local_rank)
        self._check_workers()
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        self.bf16 = use_bf16(self.train.precision, self.device)
        self.model = experiment.model.to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=experiment.optimizer.lr, fused=True)
        self.training, self.validation = training_set(experiment.data, self.train.seed), validation_set(experiment.data)
        self.data = data_digests([self.training, self.validation])
        self.steps_per_epoch = len(self.training) // self.train.batch_size
        self._check_batch_size()
        self.progress, self.best = Progress(), BestEpochs(self.train.average_best)
        self.stop, self.log = StopSignals(), RunLog(out, world.leads)
        self.origin = self.resume()
        self._check_alike()

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or the validation loss has long been no better."""
        return self.progress.epoch >= self.train.epochs or self.progress.stale >= self.train.patience

    def fit(self) -> None:
        """Train until finished. SIGTERM or Ctrl-C, to any of the processes, saves a checkpoint and raises in all."""
        if self.world.leads:
            clear_checkpoints(self.out, self.origin)
        with self.stop, self.log.open(self.progress.epoch), closing(self.batches()) as batches:
            while not self.finished:
                self.run_epoch(batches)
                self.save()
                self.end_epoch(self.validate())

    def run_epoch(self, batches: Iterator[Item | UserError]) -> None:
        """Train on the rest of the current epoch."""
        progress = self.progress
        self.model.train()
        title = f"epoch {progress.epoch + 1}"
        saved = now = time.monotonic()
        with self.log.bar(total=self.steps_per_epoch, initial=progress.batch, desc=title) as bar:
            while progress.batch < self.steps_per_epoch:
                before, batch = now, next(batches)
                if isinstance(batch, UserError):
                    raise batch
                progress.data_wait_s += time.monotonic() - before
                stop = self.step(*batch)
                now = time.monotonic()
                progress.seconds += now - before
                bar.update()
                bar.set_postfix(loss=f"{progress.mean_loss:.2f}")
                if stop:
                    self.end_early()
                if now - saved > self.train.save_every_s:
                    self.save()
                    saved = now

    def step(self, mix: Tensor, ref: Tensor) -> bool:
        """One optimizer step on this process's share mix (B, T), ref (B, C, T) of a batch; whether to stop after it.

        The step is left out if the loss or gradient of the whole batch is not finite. What the network may draw at
        random follows from the number of the step, so that there is no generator to save.
        """
        progress, options = self.progress, self.experiment.optimizer
        draws = np.random.SeedSequence([self.train.seed, progress.step, self.world.rank])
        torch.manual_seed(int(draws.generate_state(1)[0]))
        rate = learning_rate(options, progress.step, self.steps_per_epoch, self.train.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss = self.backward(mix.to(self.device), ref.to(self.device))
        asked = float(self.stop.received is not None)
        loss, asked = self.world.sum_gradients(self.model.parameters(), loss, asked)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm).item()
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            self.optimizer.step()
        progress.count_step(loss if finite else None)
        if progress.skipped_in_a_row == MAX_SKIPPED_IN_A_ROW:
            raise UserError(
                f"{self.out}: loss or gradient was not finite in {MAX_SKIPPED_IN_A_ROW} steps in a row, the last "
                f"being step {progress.step}; lower optimizer.lr or look at the data"
            )
        return asked > 0

    def backward(self, mix: Tensor, ref: Tensor) -> float:
        """Add up the gradients of a share of a batch; returns its part of the objective, a mean over the whole batch.

        The share passes in `train.accumulate` parts. With detach, each iteration's graph is freed at once.
        """
        parts = zip(mix.tensor_split(self.train.accumulate), ref.tensor_split(self.train.accumulate), strict=True)
        return sum(self._backward_part(*part, weight=len(part[0]) / self.train.batch_size) for part in parts)

    def _backward_part(self, mix: Tensor, ref: Tensor, weight: float) -> float:
        terms = self.objective.terms(self.model, mix, ref, self.step_iterations())

        def next_term() -> tuple[Tensor, Tensor] | None:
            with autocast(self.device, self.bf16):
                return next(terms, None)

        value, kept = 0.0, []
        for loss, _ in iter(next_term, None):
            loss = loss * weight
            if self.model.detach:
                loss.backward()
            else:
                kept.append(loss)
            value += loss.item()
        if kept:
            sum(kept).backward()
        return value

    def step_iterations(self) -> int:
        """Iterations that the current step trains, the same in all processes; drawn ones follow from its number."""
        if self.progress.epoch < self.train.one_pass_epochs:
            return 1
        if not self.train.draw_iterations:
            return self.model.iterations
        draws = np.random.default_rng([self.train.seed, self.progress.step])
        return int(draws.integers(1, self.model.iterations, endpoint=True))

    def validate(self) -> dict[str, Any]:
        """Objective over the validation set, and the SI-SDR improvement after each iteration in dB."""
        share = self._score_validation_share()
        asked, loss, *improvements = self.world.gather([float(self.stop.received is not None), *share]).sum(0).tolist()
        if asked:
            self.end_early()
        count = len(self.validation)
        return {
            "valid_loss": loss / count,
            "valid_si_sdri_db": [round(improvement / count, 4) for improvement in improvements],
        }

    @torch.inference_mode()
    def _score_validation_share(self) -> list[float]:
        """Sums over this process's share of the validation set: objective, SI-SDR improvement after each iteration.

        A signal to stop ends it early.
        """
        self.model.eval()
        sums = torch.zeros(1 + self.model.iterations, dtype=torch.float64)
        for batch in self.log.bar(self._validation_loader(), desc="validation", leave=False):
            if self.stop.received is not None:
                break
            if isinstance(batch, UserError):
                raise batch
            mix, ref = (part.to(self.device) for part in batch)
            unprocessed = si_sdr(mix[:, None], ref).mean(-1)
            with autocast(self.device, self.bf16):
                terms = list(self.objective.terms(self.model, mix, ref))
            sums[0] += sum(loss.item() for loss, _ in terms) * len(mix)
            for i, (_, est) in enumerate(terms[: self.model.iterations], start=1):
                sums[i] += (pit(si_sdr, est, ref)[0] - unprocessed).sum().item()
        return sums.tolist()

    def end_epoch(self, validation: dict[str, Any]) -> None:
        """Record the epoch, keep the best weights, and save.

        Of several processes the record has the longest times and the largest memory. last.pt is written last: killed
        before that, a run goes through this again, and comes to the same.
        """
        progress = self.progress
        measured = [progress.seconds, progress.data_wait_s, peak_memory_mib(self.device)]
        seconds, data_wait_s, memory_mib = self.world.gather(measured).amax(0).tolist()
        record = {
            "epoch": progress.epoch + 1,
            "mixtures": progress.step * self.train.batch_size,
            "train_loss": progress.mean_loss,
            **validation,
            "lr": self.optimizer.param_groups[0]["lr"],
            "skipped": progress.skipped,
            "seconds": round(seconds, 2),
            "data_wait_s": round(data_wait_s, 2),
            "mixtures_per_s": round(self.steps_per_epoch * self.train.batch_size / seconds, 2),
            "peak_memory_mib": round(memory_mib),
        }
        better = progress.end_epoch(record, patient=progress.epoch < self.train.one_pass_epochs)
        if not self.world.leads:
            return
        if self.best.offer(record["epoch"], record["valid_loss"], self.model.state_dict()):
            # The record is of the epoch's own weights, and none is of their mean: stage 4 scores what best.pt holds.
            best = {"config": self.experiment.config, "model": self.best.mean(), "epochs": self.best.epochs}
            save_checkpoint(self.out / "best.pt", best)
        self.log.write(progress.history, better)
        self.save()

    def end_early(self) -> None:
        """Save, wait until that is done (a launcher ends all processes when one has ended), and raise."""
        self.save()
        self.world.wait()
        self.stop.end()

    def save(self) -> None:
        """Write last.pt, from which `resume` goes on; the one before it becomes previous.pt."""
        if self.world.leads:
            state = {
                "config": self.experiment.config,
                **self.data,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "progress": asdict(self.progress),
                "best": self.best.kept,
            }
            save_checkpoint(self.out / "last.pt", state, keep=self.out / "previous.pt")

    def resume(self) -> Path | None:
        """Go on from the last whole checkpoint; returns its name, None if there is none.

        Raises UserError if it belongs to another configuration, or holds no whole state of a run, or where only the
        records or the model of a training are left, which a new one would overwrite.
        """
        found = last_checkpoint(self.out)
        if found is None:
            if any((self.out / name).exists() for name in ("history.jsonl", "best.pt")):  # last.pt is there before them
                raise UserError(
                    f"{self.out}: has the records or the model of a training, but no checkpoint to go on from; remove "
                    "the folder, or train into another"
                )
            return None
        path, state = found
        check_same_experiment(state["config"], self.experiment.config, path)
        check_same_data(state, self.experiment.config, self.data, path)
        load_weights(self.model, state["model"], path)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
            self.progress = Progress(**state["progress"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UserError(f"{path}: training cannot go on from it; remove it, or train into another folder") from None
        if "best" not in state and self.progress.history:  # from a version that had them in best.pt alone
            best = load_checkpoint(self.out / "best.pt")
            state["best"] = [{"epoch": best["epoch"], "loss": self.progress.best_loss, "model": best["model"]}]
        self.best.kept = state.get("best", [])
        return path

    def _check_workers(self) -> None:
        data = self.experiment.data
        forked = self.device.type == "cuda" and self.train.workers > 0
        if forked and data.mode == "fresh" and data.simulation.engine == "gpurir":
            raise UserError(
                "data.simulation.engine is gpurir, which cannot use the GPU from processes beside a training that has "
                "it; set train.workers to 0, or take the engine image"
            )

    def _check_batch_size(self) -> None:
        size, parts = self.train.batch_size, self.train.accumulate
        if not self.steps_per_epoch:
            raise UserError(f"train.batch_size is {size}, but an epoch has only {len(self.training)} mixtures")
        if size // self.world.size < parts:
            raise UserError(
                f"train.batch_size is {size}, too few mixtures for {self.world.size} processes with train.accumulate "
                f"{parts}: each takes at least one in each part"
            )

    def _check_alike(self) -> None:
        """Raise UserError unless all processes start from the same state of the same experiment."""
        state = fingerprint(self.model, self.experiment.config, self.data)
        table = self.world.gather([self.progress.step, state])
        if not (table == table[0]).all():
            steps = ", ".join(str(round(step)) for step in table[:, 0].tolist())
            raise UserError(
                f"{self.out}: the training processes do not start alike (steps behind them: {steps}); give all the "
                "same command and data, and an experiment folder on a disk that they share"
            )

    def batches(self) -> Iterator[Item | UserError]:
        """Endless shares of batches from where the run stands; closing this generator ends the loader's workers."""
        start = (self.progress.epoch, self.progress.batch)
        keys = training_batches(len(self.training), self.train.batch_size, self.train.seed, start)
        yield from self._loader(self.training, map(self.world.deal, keys))

    def _validation_loader(self) -> DataLoader:
        lengths = [self.validation.lengths[utt] for utt in self.validation.ids]
        size = max(1, self.train.batch_size // (self.world.size * self.train.accumulate))  # as a step takes at a time
        return self._loader(self.validation, self.world.deal(validation_batches(lengths, size)))

    def _loader(self, dataset: Any, batches: Iterable) -> DataLoader:
        # A fork is there at once; Python 3.14 would start workers that import torch anew, at each validation.
        forked = self.train.workers > 0 and sys.platform == "linux"
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=self.train.workers,
            multiprocessing_context="fork" if forked else None,
            worker_init_fn=leave_signals_to_parent,
            pin_memory=self.device.type == "cuda",
        )
