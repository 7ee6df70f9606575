from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from itersep.data.audio import read_audio, write_audio
from itersep.data.datadir import read_table, write_table
from itersep.simulate.mixture import SimulationSpec
from itersep.system.errors import UserError
from itersep.train.dataset import (
    DataSpec,
    collate,
    training_batches,
    training_set,
    validation_batches,
    validation_set,
)

RATE = 8000


@pytest.fixture
def spec(speech_dir: Path, noise_dir: Path, mixture_dir: Path) -> DataSpec:
    simulation = SimulationSpec(sample_rate=RATE, length_s=0.5)
    return DataSpec("fresh", str(speech_dir), str(noise_dir), str(mixture_dir), epoch_size=6, simulation=simulation)


def test_a_fresh_item_depends_on_its_key_alone(spec: DataSpec) -> None:
    one, other = training_set(spec, seed=1), training_set(spec, seed=1)
    for key in ((0, 3), (2, 1)):
        other[(1, 5)]
        for got, expected in zip(other[key], one[key], strict=True):
            assert torch.equal(got, expected)
    mix, ref = one[(0, 3)]
    assert mix.shape == (4000,) and ref.shape == (2, 4000) and mix.dtype == torch.float32


def test_every_epoch_index_and_seed_draws_another_mixture(spec: DataSpec) -> None:
    items = [training_set(spec, seed)[key][0] for seed in (1, 2) for key in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert all(not torch.equal(items[i], items[j]) for i in range(8) for j in range(i))


def test_validation_items_are_the_files_whole(spec: DataSpec, mixture_dir: Path) -> None:
    dev = validation_set(spec)
    assert dev.ids == ["m4", "m0", "m1", "m2", "m3"]  # by length, then by name
    mix, ref = dev[(0, 2)]
    np.testing.assert_array_equal(mix, read_audio(mixture_dir / "audio/wav/m1.wav", RATE))
    np.testing.assert_array_equal(ref[1], read_audio(mixture_dir / "audio/spk2/m1.wav", RATE))
    torch.testing.assert_close(mix, ref.sum(0))


def test_rendered_training_cuts_the_same_piece_of_mixture_and_references(spec: DataSpec, mixture_dir: Path) -> None:
    rendered = DataSpec("rendered", train=str(mixture_dir), segment_s=0.3, simulation=spec.simulation)
    starts = set()
    for seed, epoch, index in ((0, 0, 1), (0, 1, 1), (0, 2, 1), (1, 0, 1), (0, 0, 2)):
        dataset = training_set(rendered, seed)
        mix, ref = dataset[(epoch, index)]
        assert mix.shape == (2400,)
        torch.testing.assert_close(mix, ref.sum(0))
        whole = read_audio(mixture_dir / f"audio/wav/{dataset.ids[index]}.wav", RATE)
        starts |= {s for s in range(4000 - 2400 + 1) if np.array_equal(whole[s : s + 2400], mix.numpy())}
    assert len(starts) == 5
    short, _ = dataset[(0, 0)]  # 0.25 s: padded with zeros
    assert short.shape == (2400,) and short[:2000].any() and not short[2000:].any()


def test_an_epoch_of_some_rendered_mixtures_goes_on_where_the_one_before_ended(
    spec: DataSpec, mixture_dir: Path
) -> None:
    def met(size: int | None, epochs: int) -> list[bytes]:
        rendered = DataSpec("rendered", train=str(mixture_dir), epoch_size=size, simulation=spec.simulation)
        dataset = training_set(rendered, seed=0)
        return [
            dataset[(epoch, index)][0].numpy().tobytes() for epoch in range(epochs) for index in range(len(dataset))
        ]

    everything = met(None, 1)
    assert met(100, 1) == everything  # more than there are
    some = met(2, len(everything))
    assert len(some) == 2 * len(everything) and some[: len(everything)] == some[len(everything) :]
    assert sorted(some[: len(everything)]) == sorted(everything)


def test_fresh_mixtures_need_a_number(spec: DataSpec) -> None:
    with pytest.raises(ValueError, match="data.epoch_size is null, .* fresh mixtures need a number"):
        replace(spec, epoch_size=None)


def test_batches_from_the_middle_are_the_rest_of_all_batches() -> None:
    everything = list(islice(training_batches(10, 3, seed=5), 9))
    for start, skipped in (((0, 0), 0), ((0, 2), 2), ((1, 0), 3), ((2, 1), 7)):
        rest = islice(training_batches(10, 3, seed=5, start=start), 9 - skipped)
        assert list(rest) == everything[skipped:]


def test_an_epoch_has_every_index_at_most_once_in_an_order_of_its_own() -> None:
    batches = list(islice(training_batches(9, 3, seed=5), 6))
    first, second = ([key for batch in part for key in batch] for part in (batches[:3], batches[3:]))
    assert sorted(first) == [(0, i) for i in range(9)] and sorted(second) == [(1, i) for i in range(9)]
    assert [i for _, i in first] != [i for _, i in second]
    assert list(islice(training_batches(9, 3, seed=6), 3)) != batches[:3]


def test_validation_batches_hold_equal_lengths_and_everything_once() -> None:
    batches = validation_batches([4, 4, 4, 5, 6, 6], batch_size=2)
    assert [[i for _, i in batch] for batch in batches] == [[0, 1], [2], [3], [4, 5]]


def test_a_mistake_in_the_data_goes_through_the_batch(spec: DataSpec, mixture_dir: Path) -> None:
    dev = validation_set(spec)
    (mixture_dir / "audio/spk1/m1.wav").unlink()
    batch = collate([dev[(0, 1)], dev[(0, 2)]])
    assert isinstance(batch, UserError) and "spk1/m1.wav" in str(batch)


def test_wrong_directories_are_named(spec: DataSpec, mixture_dir: Path) -> None:
    write_audio(mixture_dir / "audio/spk1/m1.wav", np.zeros(100, np.int16), RATE)
    assert "spk1/m1.wav: has 100 samples" in str(validation_set(spec)[(0, 2)])
    table = read_table(mixture_dir / "spk2.scp")
    del table["m3"]
    write_table(mixture_dir / "spk2.scp", table)
    with pytest.raises(UserError, match="'m3' stands in only one of wav.scp and spk2.scp"):
        validation_set(spec)
    with pytest.raises(UserError, match="spk1.scp: no such file"):
        validation_set(DataSpec(dev=spec.train))


@pytest.mark.parametrize("options", [{"epoch_size": 0}, {"segment_s": 0.0}])
def test_impossible_values_are_refused_by_name(options: dict) -> None:
    with pytest.raises(ValueError, match=f"data.{next(iter(options))}"):
        DataSpec(**options)
