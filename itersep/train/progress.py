"""Where a run stands, and what it tells of itself: log, progress bars, history.jsonl, TensorBoard."""

import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from itersep.system.files import write_text

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a run stands; with the weights, the optimizer and the best epochs it is all that a run needs to go on."""

    epoch: int = 0  # epochs completed
    batch: int = 0  # batches of the current epoch completed
    step: int = 0  # batches completed in all
    skipped: int = 0  # steps left out for a loss or gradient that was not finite
    skipped_in_a_row: int = 0
    loss_sum: float = 0.0  # over the batches of the current epoch that were not skipped
    loss_count: int = 0
    seconds: float = 0.0  # spent in the current epoch
    data_wait_s: float = 0.0  # of these, waiting for data
    stale: int = 0  # epochs since the best validation loss
    best_loss: float = math.inf
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def mean_loss(self) -> float:
        """Mean training loss of the current epoch so far."""
        return self.loss_sum / max(self.loss_count, 1)

    def count_step(self, loss: float | None) -> None:
        """Count a step and its loss; None: it was left out."""
        self.batch += 1
        self.step += 1
        if loss is None:
            self.skipped += 1
            self.skipped_in_a_row += 1
        else:
            self.loss_sum += loss
            self.loss_count += 1
            self.skipped_in_a_row = 0

    def end_epoch(self, record: dict[str, Any], patient: bool) -> bool:
        """Take in the record of a finished epoch; returns whether it is the best. ``patient``: it is not stale."""
        better = record["valid_loss"] < self.best_loss
        if better:
            self.best_loss = record["valid_loss"]
        self.stale = 0 if better or patient else self.stale + 1
        self.history.append(record)
        self.epoch += 1
        self.batch, self.loss_sum, self.loss_count, self.seconds, self.data_wait_s = 0, 0.0, 0, 0.0, 0.0
        return better


# A loss of SNR is 0 dB for silence, which a network whose steps are too large may prefer to a bad estimate. What its
# masks then let through is this much worse than the mixture.
SILENT_DB = -10.0


class RunLog:
    """What a run tells of itself. Of several processes one speaks: it alone writes, and shows progress bars."""

    def __init__(self, out: Path, speaks: bool) -> None:
        self.out, self.speaks = out, speaks
        self.board: SummaryWriter | None = None

    @contextmanager
    def open(self, epochs: int) -> Iterator[None]:
        """For a run that has ``epochs`` behind it; purges later TensorBoard events."""
        if not self.speaks:
            yield
            return
        with SummaryWriter(self.out / "tensorboard", purge_step=epochs + 1) as self.board:
            yield

    def bar(self, items: Any = None, **options: Any) -> tqdm:
        """A progress bar, where there is a terminal to show it."""
        return tqdm(items, disable=None if self.speaks else True, **options)

    def write(self, history: list[dict[str, Any]], better: bool) -> None:
        """The epochs so far, of which the last is new."""
        if not self.speaks:
            return
        write_text(self.out / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history))
        record = history[-1]
        gains = " ".join(f"{gain:+.2f}" for gain in record["valid_si_sdri_db"])
        log.info(
            "epoch %d: train %.3f, valid %.3f%s, SI-SDRi by iteration %s dB, lr %.2e, %.0f s, data wait %.1f s",
            *(record["epoch"], record["train_loss"], record["valid_loss"], " (best)" if better else "", gains),
            *(record["lr"], record["seconds"], record["data_wait_s"]),
        )
        best_db = max(record["valid_si_sdri_db"])
        if best_db < SILENT_DB:
            log.warning(
                "the estimates are %.0f dB worse than the mixture: the network seems to have fallen silent, which it "
                "seldom leaves; train into another folder with a lower optimizer.lr",
                -best_db,
            )
        for name in ("train_loss", "valid_loss", "lr", "mixtures_per_s"):
            self.board.add_scalar(name, record[name], record["epoch"])
        for i, gain in enumerate(record["valid_si_sdri_db"], start=1):
            self.board.add_scalar(f"valid_si_sdri_db/iteration{i}", gain, record["epoch"])
