#!/usr/bin/env python3
"""Quality of windowed separation: recordings of two people who talk and pause, each in a room of their own."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from jsonargparse.typing import PositiveFloat, PositiveInt
from scipy.signal import fftconvolve

import itersep
from itersep.data.audio import read_audio
from itersep.score.metrics import si_sdr_db
from itersep.separate.windows import WindowSpec
from itersep.simulate.rir import simulate_rir
from itersep.system.cli import run_program

RATE = 16000
ORDERS = ([0, 1], [1, 0])
BLOCK = 2 * RATE  # within which the best order is taken, where the order does not count


def main(
    corpus: str,
    windows: tuple[tuple[PositiveFloat, PositiveFloat], ...] = ((120.0, 4.0), (16.0, 4.0), (16.0, 8.0), (8.0, 4.0)),
    model: str = "",
    recordings: PositiveInt = 12,
    seconds: PositiveFloat = 120.0,
) -> None:
    """Print SI-SDR by window: with each speaker in one place all along, and with the best order every two seconds.

    Args:
        corpus: folder with one folder for each speaker, as LibriSpeech's test-other
        windows: lengths and overlaps in seconds; of the recording's length: it is separated whole
        model: as for itersep-separate
        recordings: number of recordings, of as many pairs of speakers
        seconds: length of each
    """
    torch.set_num_threads(1)
    separators = [itersep.load(model or None, device="cpu", windows=WindowSpec(*window)) for window in windows]
    print("| recording | " + " | ".join(f"{length:g} / {overlap:g} s" for length, overlap in windows) + " |")
    scores = []
    for name, ref in make_recordings(Path(corpus), recordings, round(seconds * RATE)):
        found = [score(separator.separate(ref.sum(0), RATE), ref) for separator in separators]
        scores.append(found)
        print(f"| {name} | " + " | ".join(f"{kept:.2f} ({best:.2f})" for kept, best in found) + " |", flush=True)
    means = np.mean(scores, axis=0)
    print("| mean | " + " | ".join(f"{kept:.2f} ({best:.2f})" for kept, best in means) + " |")


def make_recordings(corpus: Path, count: int, length: int) -> Iterator[tuple[str, np.ndarray]]:
    """Names and references (2, T), float32, of recordings; they follow from their number and the names of the files."""
    speakers = sorted(path for path in corpus.iterdir() if path.is_dir())
    pairs = [(a, speakers[(k + step) % len(speakers)]) for step in (1, 3) for k, a in enumerate(speakers)]
    for number, pair in enumerate(pairs[:count]):
        generator = np.random.default_rng(number)
        ref = np.stack([talk(folder, length, generator) for folder in pair])
        ref[1] *= 10 ** (generator.uniform(-2.5, 2.5) / 20)
        yield f"{pair[0].name} and {pair[1].name}", (0.9 * ref / np.abs(ref.sum(0)).max()).astype(np.float32)


def talk(folder: Path, length: int, generator: np.random.Generator) -> np.ndarray:
    """A speaker (T,) as heard in a room: all utterances in some order, with pauses of 1 to 5 s, at unit power."""
    room = generator.uniform((3, 3, 2.5), (8, 8, 3.5))
    places = [generator.uniform(0.5, room - 0.5)[None] for _ in range(2)]
    response = np.asarray(simulate_rir(tuple(room), generator.uniform(0.15, 0.4), *places, RATE)).reshape(-1)
    voice, at = np.zeros(length), round(generator.uniform(0, 2) * RATE)
    for path in cycle(generator.permutation(sorted(map(str, folder.rglob("*.flac"))))):
        if at >= length:
            break
        samples = read_audio(path, RATE)[: length - at]
        voice[at : at + len(samples)] = samples / samples.std()
        at += len(samples) + round(generator.uniform(1, 5) * RATE)
    heard = fftconvolve(voice, response)[:length]
    return heard / heard.std()


def score(est: np.ndarray, ref: np.ndarray) -> tuple[float, float]:
    """Mean SI-SDR in dB of estimates (2, T): in the better order, and in that of each two seconds."""
    wanted, found = torch.from_numpy(ref), torch.from_numpy(est)
    blocks = [
        min((e[order] for order in ORDERS), key=lambda one, r=r: float((one - r).square().sum()))
        for e, r in zip(found.split(BLOCK, 1), wanted.split(BLOCK, 1), strict=True)
    ]
    kept = max(float(si_sdr_db(found[order], wanted).mean()) for order in ORDERS)
    return kept, float(si_sdr_db(torch.cat(blocks, 1), wanted).mean())


if __name__ == "__main__":
    run_program(main)
