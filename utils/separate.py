#!/usr/bin/env python3
"""Stage 3: data/<set>/wav.scp -> exp/<name>/<set>/iter<i>/spk<c>.scp."""

from pathlib import Path
from typing import Literal

from jsonargparse.typing import NonNegativeInt, PositiveInt

from itersep.models.sound import SoundOnly
from itersep.separate.folder import Separation, files_sha256, model_sha256, read_gains, read_mixtures, separate_set
from itersep.separate.waves import load_network
from itersep.system.cli import command_line, run_program
from itersep.train.runtime import choose_device


def main(
    model: str,
    data: str,
    out: str,
    iterations: NonNegativeInt = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    nj: PositiveInt = 1,
    part: str = "",
) -> None:
    """Separate every mixture of a data directory with a trained model, keeping the estimates of every iteration.

    Args:
        model: experiment folder (its best checkpoint is taken), checkpoint file, or folder of a published model
        data: data directory with wav.scp
        out: folder for the estimates: iter1/spk1.scp, iter1/spk2.scp, iter2/...
        iterations: separate 1 to this many times; 0: as many as the model was trained for
        device: where the model runs; auto takes a GPU where there is one
        nj: mixtures separated at a time, each by one CPU thread
        part: I/N separates the I-th of N shares, beside others; a run without it then completes the folder
    """
    place = choose_device(device).type
    mixtures = read_mixtures(data)
    network, config = load_network(Path(model))
    made_by = Separation(
        model_sha256=model_sha256(network, config["model"]),
        mixtures_sha256=files_sha256(mixtures),
        sources=network.sources,
        iterations=iterations or network.iterations,
        sample_rate=network.sample_rate,
        device=place,
    )
    notes = {"command": command_line().removesuffix(f" --part {part}"), "trained_for": network.iterations}
    done = separate_set(SoundOnly(network).to(place), mixtures, out, made_by, notes, nj, part)
    what = f"{done} separated now" if done else "all there, nothing to do"
    what += f" by part {part}" * bool(part)
    print(f"{out}: {len(mixtures)} mixtures, {made_by.iterations} iterations; {what}")
    scaled = sum(gain < 1 for gain in read_gains(out).values())
    if scaled:
        print(f"{out}: estimates of {scaled} mixtures would have clipped and were scaled; utt2gain has the factors")


if __name__ == "__main__":
    run_program(main)
