"""Mixtures for training and validation: drawn fresh, or read from a rendered data directory.

An item is asked for by (epoch, index) and depends on nothing else, so that training can stop and go on anywhere.
It is the pair mix (T,), ref (C, T).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from itersep.data.audio import audio_length, read_audio
from itersep.data.datadir import read_table
from itersep.simulate.clips import SET_RATE
from itersep.simulate.mixture import SimulationSpec, draw_mixture, load_clips, render_mixture
from itersep.system.errors import UserError
from itersep.system.files import text_digest

SAMPLED_FILES = 100  # of each table, evenly over its names, go into the digest of a training's data
SAMPLED_BYTES = 1 << 18  # of the beginning of each; eight seconds of 16 bits at 16 kHz

Item = tuple[Tensor, Tensor]
Key = tuple[int, int]


@dataclass(frozen=True)
class DataSpec:
    """Where the mixtures of training and validation come from.

    Args:
        mode: fresh (drawn anew in every epoch from `train` and `noise`) or rendered (`train` holds mixtures)
        train: data directory of speech (fresh) or of mixtures (rendered)
        noise: data directory of noise clips (fresh), or null for mixtures of speech alone
        dev: data directory of the validation mixtures
        epoch_size: mixtures in an epoch; null: all that are rendered
        segment_s: rendered training mixtures are cut at random to this many seconds
        simulation: how mixtures are drawn; its sample rate and number of sources hold in both modes
    """

    mode: Literal["fresh", "rendered"] = "fresh"
    train: str = "data/train"
    noise: str | None = "data/noise_train"
    dev: str = "data/dev_2mix"
    epoch_size: int | None = 20000
    segment_s: float = 4.0
    simulation: SimulationSpec = SimulationSpec()

    def __post_init__(self) -> None:
        if self.epoch_size is None and self.mode == "fresh":
            raise ValueError("data.epoch_size is null, which is for data.mode rendered; fresh mixtures need a number")
        if self.epoch_size is not None and self.epoch_size < 1:
            raise ValueError(f"data.epoch_size must be at least 1, not {self.epoch_size}")
        if round(self.segment_s * self.simulation.sample_rate) < 1:
            raise ValueError(f"data.segment_s must be a sample at least, not {self.segment_s}")


def data_sizes(config: Mapping[str, Any]) -> dict[str, int]:
    """How much data a configuration's directories hold; what is not there is left out."""
    data = config["data"]
    kind = "training utterances" if data["mode"] == "fresh" else "training mixtures"
    tables = {kind: Path(data["train"]) / "wav.scp", "validation mixtures": Path(data["dev"]) / "wav.scp"}
    return {kind: len(read_table(path)) for kind, path in tables.items() if path.exists()}


def training_set(spec: DataSpec, seed: int) -> "MixtureSet":
    """The training mixtures of ``spec``. Raises UserError naming the file that is missing or wrong."""
    if spec.mode == "fresh":
        return FreshMixtures(spec, seed)
    rate, sources = spec.simulation.sample_rate, spec.simulation.sources
    return RenderedMixtures(spec.train, rate, sources, round(spec.segment_s * rate), seed, spec.epoch_size)


def validation_set(spec: DataSpec) -> "MixtureSet":
    """The validation mixtures of ``spec``, whole. Raises UserError naming the file that is missing or wrong."""
    return RenderedMixtures(spec.dev, spec.simulation.sample_rate, spec.simulation.sources)


class MixtureSet(Dataset):
    """Common behaviour: a mistake in the data comes back as a value, since loader workers mangle exceptions."""

    def __getitem__(self, key: Key) -> Item | UserError:
        try:
            return self.load(key)
        except UserError as error:
            return error

    def __len__(self) -> int:
        raise NotImplementedError

    def load(self, key: Key) -> Item:
        """The mixture of ``key``. Raises UserError naming a file that cannot be read."""
        raise NotImplementedError

    def contents(self) -> list[dict[str, int]]:
        """What the mixtures are made of: names and lengths in samples, wherever the files lie."""
        raise NotImplementedError

    def tables(self) -> list[Mapping[str, str]]:
        """The files that the mixtures are made of, by name."""
        raise NotImplementedError


class FreshMixtures(MixtureSet):
    """New draws of speakers, rooms, levels and offsets in every epoch; nothing is written to disk."""

    def __init__(self, spec: DataSpec, seed: int) -> None:
        self.simulation, self.size, self.seed = spec.simulation, spec.epoch_size, seed
        self.speech = load_clips(spec.train, spec.simulation.sample_rate)
        self.noise = load_clips(spec.noise, spec.simulation.sample_rate) if spec.noise else None

    def __len__(self) -> int:
        return self.size

    def contents(self) -> list[dict[str, int]]:
        """Clips and their lengths, of speech and of noise."""
        return [dict(clips.lengths) for clips in (self.speech, self.noise) if clips]

    def tables(self) -> list[Mapping[str, str]]:
        """The clips' files, of speech and of noise."""
        return [clips.paths for clips in (self.speech, self.noise) if clips]

    def load(self, key: Key) -> Item:
        """Draw and render the mixture of ``key``."""
        epoch, index = key
        mixture = draw_mixture(
            self.simulation, self.speech, self.noise, seed=self.seed, set_name="fresh", index=epoch * self.size + index
        )
        rendered = render_mixture(mixture, self.speech, self.noise)
        return torch.from_numpy(rendered.mix), torch.from_numpy(rendered.ref)


class RenderedMixtures(MixtureSet):
    """Mixtures of a data directory (wav.scp, spk1.scp .. spkC.scp); `ids` are sorted by length, then by name.

    An epoch has all of them, or ``size`` where that is less: `ids` are shuffled then, and each epoch goes on where the
    one before ended, so that all are met equally often.
    """

    def __init__(
        self,
        data_dir: str | Path,
        sample_rate: int,
        sources: int,
        segment: int | None = None,
        seed: int = 0,
        size: int | None = None,
    ) -> None:
        tables = ["wav.scp", *(f"spk{c}.scp" for c in range(1, sources + 1))]
        self.files = {name: read_table(Path(data_dir) / name) for name in tables}
        self.sample_rate, self.segment, self.seed = sample_rate, segment, seed
        mixtures = self.files["wav.scp"]
        if not mixtures:
            raise UserError(f"{data_dir}/wav.scp: holds no mixture")
        for name, table in self.files.items():
            for utt in sorted(table.keys() ^ mixtures.keys())[:1]:
                raise UserError(f"{data_dir}: '{utt}' stands in only one of wav.scp and {name}; make the folder again")
        self.lengths = {utt: audio_length(path, sample_rate, SET_RATE) for utt, path in mixtures.items()}
        for utt in sorted(utt for utt, length in self.lengths.items() if length == 0)[:1]:
            raise UserError(f"{mixtures[utt]}: holds no samples; make {data_dir} again without '{utt}'")
        self.ids = sorted(self.lengths, key=lambda utt: (self.lengths[utt], utt))
        self.size = min(size or len(self.ids), len(self.ids))
        if self.size < len(self.ids):
            order = np.random.default_rng(seed).permutation(len(self.ids))  # an epoch's share is of all lengths
            self.ids = [self.ids[k] for k in order]

    def __len__(self) -> int:
        return self.size

    def contents(self) -> list[dict[str, int]]:
        """Mixtures and their lengths."""
        return [self.lengths]

    def tables(self) -> list[Mapping[str, str]]:
        """The files of mixtures and references."""
        return list(self.files.values())

    def load(self, key: Key) -> Item:
        """Read the mixture of ``key``, or a piece of it."""
        epoch, index = key
        utt = self.ids[(epoch * self.size + index) % len(self.ids)]
        start, length = 0, self.lengths[utt]
        if self.segment is not None:
            latest = max(length - self.segment, 0)
            start = int(np.random.default_rng([self.seed, epoch, index]).integers(latest + 1))
            length = min(self.segment, length)
        mix, *ref = (self._read(files[utt], start, length) for files in self.files.values())
        return mix, torch.stack(ref)

    def _read(self, path: str, start: int, length: int) -> Tensor:
        samples = read_audio(path, self.sample_rate, start, length, SET_RATE)
        if len(samples) != length:
            raise UserError(
                f"{path}: has {start + len(samples)} samples where its mixture has {start + length}; make the folder "
                "again"
            )
        return torch.nn.functional.pad(torch.from_numpy(samples), (0, (self.segment or length) - length))


def data_digests(sets: Sequence[MixtureSet]) -> dict[str, str]:
    """What tells data apart, wherever they lie: "data", names and lengths, and "audio", how some of the files begin.

    All files would take minutes to read where there are hundreds of hours of them, at each start of a training. Other
    data of the same names and lengths, such as those of another seed, differ in any file. Raises UserError for a file
    that cannot be read.
    """
    contents = [one.contents() for one in sets]
    audio = hashlib.sha256()
    for table in (table for one in sets for table in one.tables()):
        step = -(-len(table) // SAMPLED_FILES)
        for name in sorted(table)[::step]:
            try:
                with open(table[name], "rb") as file:
                    audio.update(file.read(SAMPLED_BYTES))
            except OSError as error:
                raise UserError(f"{table[name]}: cannot be read ({error.strerror}); make the data again") from None
    return {"data": text_digest(json.dumps(contents, sort_keys=True)), "audio": audio.hexdigest()}


def training_batches(size: int, batch_size: int, seed: int, start: tuple[int, int] = (0, 0)) -> Iterator[list[Key]]:
    """Endless batches of keys, shuffled anew in each epoch, from batch ``start`` = (epoch, batch) on.

    The last batch of an epoch, if it would be short, is dropped.
    """
    epoch, batch = start
    while True:
        order = np.random.default_rng([seed, epoch]).permutation(size)
        for first in range(batch * batch_size, size - batch_size + 1, batch_size):
            yield [(epoch, int(index)) for index in order[first : first + batch_size]]
        epoch, batch = epoch + 1, 0


def validation_batches(lengths: Sequence[int], batch_size: int) -> list[list[Key]]:
    """All indices once, in order, in batches of equal length: no padding enters a score."""
    batches: list[list[Key]] = []
    for index, length in enumerate(lengths):
        if batches and len(batches[-1]) < batch_size and lengths[batches[-1][0][1]] == length:
            batches[-1].append((0, index))
        else:
            batches.append([(0, index)])
    return batches


def collate(items: Sequence[Item | UserError]) -> Item | UserError:
    """Stack items to mix (B, T), ref (B, C, T); the first mistake among them goes through as it is."""
    for item in items:
        if isinstance(item, UserError):
            return item
    return tuple(torch.stack(part) for part in zip(*items, strict=True))
