#!/usr/bin/env python3
"""What pauses, offsets, hum and rumble cost a trained model: SI-SDR of the same mixtures with and without them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jsonargparse.typing import PositiveInt

import itersep
from itersep.data.audio import read_audio
from itersep.data.datadir import read_table
from itersep.score.metrics import assign, si_sdr_db
from itersep.system.cli import run_program

PEAK = 0.4  # of the mixtures, before anything is added
Disturbed = tuple[np.ndarray, np.ndarray]  # a recording (T,), and where the samples of the mixture are in it


def main(data: str, mixtures: PositiveInt = 40, model: str = "") -> None:
    """Print a row for each disturbance: mean and range, over mixtures, of the SI-SDR that it adds or takes.

    Args:
        data: data directory with the references spk1.scp, spk2.scp
        mixtures: the first so many
        model: as for itersep-separate
    """
    torch.set_num_threads(1)
    separator = itersep.load(model or None, "cpu")
    rate = separator.sample_rate
    chosen = list(read_mixtures(Path(data), mixtures, rate))
    clean = np.array([score(separator.separate(mix, rate), ref) for mix, ref in chosen])
    print(f"{len(chosen)} mixtures, undisturbed: {clean.mean():.2f} dB\n")
    print("| disturbance | mean (dB) | range (dB) |\n|---|---:|---:|")
    for name, disturb in disturbances(rate).items():
        changes = []
        for (mix, ref), before in zip(chosen, clean, strict=True):
            wave, index = disturb(mix)
            changes.append(score(separator.separate(wave, rate)[:, index], ref) - before)
        print(f"| {name} | {np.mean(changes):+.2f} | {min(changes):+.2f} to {max(changes):+.2f} |", flush=True)


def read_mixtures(data: Path, count: int, rate: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Mixtures (T,) and their references (C, T), at one peak."""
    wav, *speakers = (read_table(data / name) for name in ("wav.scp", "spk1.scp", "spk2.scp"))
    for utt in sorted(wav)[:count]:
        mix, ref = read_audio(wav[utt], rate), np.stack([read_audio(table[utt], rate) for table in speakers])
        gain = PEAK / np.abs(mix).max()
        yield mix * gain, ref * gain


def score(est: np.ndarray, ref: np.ndarray) -> float:
    """Mean SI-SDR of estimates (C, T) in the best order."""
    one, other = torch.from_numpy(est), torch.from_numpy(ref)
    return float(si_sdr_db(one[assign(one, other)], other).mean())


def disturbances(rate: int) -> dict[str, Callable[[np.ndarray], Disturbed]]:
    """Name -> what it makes of a mixture."""

    def add(signal: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], Disturbed]:
        return lambda mix: (mix + signal(np.arange(len(mix)) / rate).astype(np.float32), np.arange(len(mix)))

    def rumble(time: np.ndarray) -> np.ndarray:
        spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(len(time)))
        spectrum[np.fft.rfftfreq(len(time), 1 / rate) > 40] = 0
        noise = np.fft.irfft(spectrum, len(time))
        return 0.05 * noise / noise.std()

    def pause(before: float = 0, between: float = 0, after: float = 0, noise_db: float | None = None):
        def place(mix: np.ndarray) -> Disturbed:
            starts, half = round(before * rate), len(mix) // 2
            gap, end = round(between * rate), round(after * rate)
            index = np.r_[starts : starts + half, starts + half + gap : starts + gap + len(mix)]
            wave = np.zeros(starts + gap + len(mix) + end, dtype=np.float32)
            if noise_db is not None:
                wave += (10 ** (noise_db / 20) * np.random.default_rng(0).standard_normal(len(wave))).astype(np.float32)
            wave[index] = mix
            return wave, index

        return place

    return {
        "12 s of zeros before": pause(before=12),
        "6 s of zeros between": pause(between=6),
        "12 s of zeros after": pause(after=12),
        "12 s of noise of -60 dB before": pause(before=12, noise_db=-60),
        "6 s of noise of -60 dB between": pause(between=6, noise_db=-60),
        "12 s of noise of -60 dB after": pause(after=12, noise_db=-60),
        "offset of 0.02": add(lambda time: np.full(len(time), 0.02)),
        "offset of 0.1": add(lambda time: np.full(len(time), 0.1)),
        "hum of 50 Hz at 0.05": add(lambda time: 0.05 * np.sin(2 * np.pi * 50 * time)),
        "hum of 60 Hz at 0.05": add(lambda time: 0.05 * np.sin(2 * np.pi * 60 * time)),
        "rumble below 40 Hz, 0.05 rms": add(rumble),
    }


if __name__ == "__main__":
    run_program(main)
