"""Drawing and rendering of mixtures: what is drawn from what, and the rendering against its definition."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import fftconvolve

from itersep.data.audio import to_pcm
from itersep.data.datadir import write_table
from itersep.simulate.folder import write_manifest
from itersep.simulate.mixture import (
    DryMixture,
    Mixture,
    NoiseDraw,
    ScaledClip,
    SimulationSpec,
    SpeakerDraw,
    draw_mixture,
    load_clips,
    manifest_text,
    read_mixtures,
    render_mixture,
)
from itersep.simulate.render import convolve
from itersep.simulate.rir import SOUND_SPEED, simulate_rir
from itersep.system.errors import UserError

RATE = 8000
SPEC = SimulationSpec(sample_rate=RATE, length_s=1.0)
LSB = 1 / 32768


@dataclass
class Signals:
    """Clips in memory."""

    audio: dict[str, np.ndarray]
    sample_rate: int = RATE
    data_dir: str = "memory"

    @property
    def lengths(self):
        return {utt: len(samples) for utt, samples in self.audio.items()}

    @property
    def utts(self):
        return sorted(self.audio)

    @property
    def by_speaker(self):
        return [[utt] for utt in self.utts]

    def read(self, utt, start, length):
        return self.audio[utt][start : start + length]


@pytest.fixture
def speech(rng):
    return Signals({f"s{s}": rng.standard_normal(12000 + 900 * s).astype(np.float32) for s in range(4)})


@pytest.fixture
def noise(rng):
    return Signals({"short": rng.standard_normal(3000).astype(np.float32),
                    "long": rng.standard_normal(20000).astype(np.float32)})  # fmt: skip


def draw(speech, noise, index=0, spec=SPEC, seed=0, set_name="dev"):
    return draw_mixture(spec, speech, noise, seed=seed, set_name=set_name, index=index)


def as_published(mixture: Mixture, speech, noise) -> tuple[np.ndarray, np.ndarray]:
    """The procedure of the paper's dataset for two speakers, step by step in float64: (2, T) and (T,)."""
    length = mixture.length
    actual_len = int(length / (2 - mixture.overlap))
    cuts = []
    for speaker in mixture.speakers:
        cut = np.zeros(actual_len)
        samples = speech.audio[speaker.utt][speaker.start : speaker.start + actual_len]
        cut[: len(samples)] = samples
        cuts.append(cut * np.sqrt(1e4 / np.sum(cut**2)))
    cuts[1] *= 10 ** (mixture.speakers[1].level_db / 20)
    clip = noise.audio[mixture.noise.utt][mixture.noise.start :].astype(float)[:length]
    clip = np.concatenate([clip] * (length // len(clip) + 1))[:length]
    clip *= np.sqrt(np.sum((cuts[0] + cuts[1]) ** 2) / np.sum(clip**2) * 10 ** (-mixture.noise.snr_db / 10))
    offset = np.zeros(int((1 - mixture.overlap) * actual_len))
    rirs = simulate_rir(mixture.room_m, mixture.t60_s, mixture.positions_m, [mixture.mic_m], RATE)[:, 0].astype(float)
    first, second, background = (fftconvolve(x, rir) for x, rir in zip((*cuts, clip), rirs, strict=True))
    wet = [np.concatenate([first, offset]), np.concatenate([offset, second]), background]
    wet = [np.concatenate([signal, np.zeros(length)])[:length] for signal in wet]
    return np.stack(wet[:2]), wet[2]


# Drawing


def test_a_draw_depends_on_seed_set_and_index_alone(speech, noise):
    forth = [draw(speech, noise, index) for index in range(20)]
    back = [draw(speech, noise, index) for index in reversed(range(20))]
    assert forth == back[::-1]
    rooms = {mixture.room_m for mixture in forth}
    assert len(rooms) == 20
    assert draw(speech, noise, seed=1).room_m not in rooms
    assert draw(speech, noise, set_name="test").room_m not in rooms


def test_draws_keep_to_the_distribution(speech, noise):
    mixtures = [draw(speech, noise, index, SimulationSpec()) for index in range(400)]
    for name, value in {
        "room_x_m": [m.room_m[0] for m in mixtures],
        "room_y_m": [m.room_m[1] for m in mixtures],
        "room_z_m": [m.room_m[2] for m in mixtures],
        "t60_s": [m.t60_s for m in mixtures],
        "overlap": [m.overlap for m in mixtures],
        "mic_height_m": [m.mic_m[2] for m in mixtures],
        "source_height_m": [speaker.position_m[2] for m in mixtures for speaker in m.speakers],
        "speaker_snr_db": [m.speakers[1].level_db for m in mixtures],
        "noise_snr_db": [m.noise.snr_db for m in mixtures],
    }.items():
        low, high = getattr(SimulationSpec(), name)
        assert low <= min(value) and max(value) <= high, name
        mean, error = (low + high) / 2, (high - low) / np.sqrt(12 * len(value))  # of a uniform distribution
        assert abs(np.mean(value) - mean) < 4 * error, name
    for mixture in mixtures:
        for point in (*mixture.positions_m, mixture.mic_m):
            assert all(0.5 <= x <= edge - 0.5 + 1e-9 for x, edge in zip(point, mixture.room_m, strict=True))
        first, second = mixture.speakers
        assert first.utt != second.utt
        assert first.level_db == 0.0
    assert 0.02 < np.mean([mixture.direct_only for mixture in mixtures]) < 0.12  # 6.4 % by the formulas


def test_cuts_begin_anywhere_that_leaves_them_whole(speech, noise):
    starts = []
    for index in range(300):
        mixture = draw(speech, noise, index)
        for source, clips, wanted in (
            *((speaker, speech, mixture.cut_length) for speaker in mixture.speakers),
            (mixture.noise, noise, mixture.length),
        ):
            room = max(clips.lengths[source.utt] - wanted, 0)
            assert 0 <= source.start <= room
            starts.append(source.start / room if room else 0.5)
    assert abs(np.mean(starts) - 0.5) < 0.05 and min(starts) < 0.02 and max(starts) > 0.98


def test_too_few_speakers_are_named(speech, noise):
    with pytest.raises(UserError, match="memory: has 4 speakers where a mixture needs 5"):
        draw(speech, noise, spec=replace(SPEC, sources=5))


@pytest.mark.parametrize(
    "values, said",
    [
        ({"sources": 0}, "sources is 0"),
        ({"sample_rate": -1}, "sample_rate is -1"),
        ({"length_s": float("nan")}, "length_s is nan"),
        ({"overlap": (0.5, 1.1)}, "overlap is"),
        ({"t60_s": (0.5, 0.1)}, "t60_s is"),
        ({"t60_s": (-0.1, 0.1)}, "t60_s is"),
        ({"room_x_m": (3.0, 900.0)}, "make the rooms smaller"),
        ({"noise_snr_db": (0.0, float("inf"))}, "noise_snr_db is"),
        ({"peak_limit": 1.0}, "peak_limit is 1.0"),
        ({"wall_margin_m": 1.5}, "wall_margin_m is 1.5"),
        ({"mic_height_m": (0.4, 1.0)}, "mic_height_m is"),
        ({"source_height_m": (1.0, 2.1)}, "source_height_m is"),
    ],
)
def test_specs_that_cannot_be_drawn_from_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        replace(SimulationSpec(), **values)


# The manifest


@pytest.mark.parametrize("with_noise", [True, False])
def test_a_line_holds_every_draw(speech, noise, tmp_path, with_noise):
    mixtures = [draw(speech, noise if with_noise else None, index) for index in range(5)]
    (tmp_path / "mixtures.jsonl").write_text(manifest_text(mixtures))
    assert read_mixtures(tmp_path / "mixtures.jsonl") == mixtures
    marks = [json.loads(line)["direct_only"] for line in manifest_text(mixtures).splitlines()]
    assert marks == [mixture.direct_only for mixture in mixtures]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"overlap": None}, "'overlap' can't be null"),
        ({"overlap": 1.5}, "overlap is 1.5"),
        ({"length": 8000.5}, "'length' can't be 8000.5"),
        ({"length": 0}, "length is 0"),
        ({"id": "a b"}, "'id' can't be"),
        ({"room_m": [1, 2]}, "'room_m' can't be"),
        ({"room_m": [1, 1, 1]}, "is not inside the room"),
        ({"t60_s": -1}, "t60_s is -1.0"),
        ({"room_m": [900, 10, 4], "mic_m": [899, 2, 1]}, "is not heard before the mixture ends"),
        ({"speakers": []}, "one speaker"),
        ({"speakers": [{"utt": "u"}]}, "'level_db' is missing"),
        ({"echo": 1}, "'echo' is unknown"),
        ({"peak_limit": 2}, "peak_limit is 2.0"),
        ({"scale_to_peak": 1}, "'scale_to_peak' can't be 1"),
        ({"engine": "ray"}, "'engine' can't be"),
        ({"engine": None}, "'engine' can't be null"),
        ({"id": "dev-000000"}, "'dev-000000' appears twice"),
    ],
)
def test_a_bad_line_is_named(speech, noise, tmp_path, change, said):
    good = [draw(speech, noise, index).to_json() for index in range(2)]
    bad = json.dumps({**json.loads(good[1]), **change})
    path = tmp_path / "mixtures.jsonl"
    path.write_text(f"{good[0]}\n{bad}\n")
    with pytest.raises(UserError, match=f"mixtures.jsonl:2: .*{said}"):
        read_mixtures(path)


def test_a_level_beyond_all_measure_is_refused(speech, noise):
    mixture = draw(speech, noise)
    with pytest.raises(ValueError, match="a level is -200.0 dB"):
        replace(mixture, noise=replace(mixture.noise, snr_db=-200.0))
    with pytest.raises(ValueError, match="a level is 101.0 dB"):
        replace(mixture, speakers=(replace(mixture.speakers[0], level_db=101.0),))


def test_a_line_that_leaves_out_engine_and_scaling_means_the_usual_ones(speech, noise, tmp_path):
    mixture = draw(speech, noise)
    entry = json.loads(mixture.to_json())
    assert (entry.pop("engine"), entry.pop("scale_to_peak")) == ("image", False)
    (tmp_path / "mixtures.jsonl").write_text(json.dumps(entry) + "\n")
    assert read_mixtures(tmp_path / "mixtures.jsonl") == [mixture]
    write_manifest(tmp_path, [mixture])  # says the same, so that it may stay
    with pytest.raises(UserError, match="was drawn with other options"):
        write_manifest(tmp_path, [replace(mixture, engine="gpurir")])


@pytest.mark.parametrize("line", ["", "[]", "{", "null", "3", '{"overlap": NaN}'])
def test_a_line_that_is_no_mixture_is_named(tmp_path, line):
    path = tmp_path / "mixtures.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(UserError, match="mixtures.jsonl:1: "):
        read_mixtures(path)


# Rendering


def test_equals_the_published_procedure(speech, noise):
    for index in range(12):
        mixture = draw(speech, noise, index)
        rendered = render_mixture(mixture, speech, noise)
        ref, noise_part = as_published(mixture, speech, noise)
        np.testing.assert_allclose(rendered.ref, rendered.gain * ref, atol=0.6 * LSB)
        np.testing.assert_allclose(rendered.noise, rendered.gain * noise_part, atol=0.6 * LSB)


@pytest.mark.parametrize("with_noise", [True, False])
def test_mixture_is_the_exact_sum_on_the_grid_of_16_bits(speech, noise, with_noise):
    for index in range(5):
        clips = noise if with_noise else None
        rendered = render_mixture(draw(speech, clips, index), speech, clips)
        np.testing.assert_array_equal(rendered.ref.sum(axis=0) + rendered.noise, rendered.mix)
        assert rendered.noise.any() == with_noise
        for samples in (rendered.mix, *rendered.ref, rendered.noise):
            assert samples.dtype == np.float32
            np.testing.assert_array_equal(to_pcm(samples) * np.float32(LSB), samples)


def test_levels_hold_where_rooms_only_delay(speech, noise):
    """Speakers and noise at one distance, of a whole number of samples, in a room with no reflection."""
    distance_m = 60 * SOUND_SPEED / RATE
    mixture = Mixture(
        id="m", sample_rate=RATE, length=8000, room_m=(9.0, 9.0, 4.0), t60_s=0.1, mic_m=(4.5, 4.5, 1.0), overlap=1.0,
        speakers=(SpeakerDraw("s0", 100, (4.5 + distance_m, 4.5, 1.0), 0.0),
                  SpeakerDraw("s1", 200, (4.5 - distance_m, 4.5, 1.0), 3.0)),
        noise=NoiseDraw("short", 0, (4.5, 4.5 + distance_m, 1.0), 12.0), peak_limit=0.9,
    )  # fmt: skip
    assert mixture.direct_only
    rendered = render_mixture(mixture, speech, noise)
    signals = [*rendered.ref, rendered.ref.sum(axis=0), rendered.noise]
    levels = 10 * np.log10(np.sum(np.square(signals, dtype=float), axis=1))
    assert levels[1] - levels[0] == pytest.approx(3.0, abs=0.1)  # 60 samples of each are beyond the end
    assert levels[2] - levels[3] == pytest.approx(12.0, abs=0.1)
    first = speech.audio["s0"][100:8100] * 100 / np.linalg.norm(speech.audio["s0"][100:8100]) / (4 * np.pi * distance_m)
    np.testing.assert_allclose(rendered.ref[0, 60:], first[:-60], atol=2e-3 * np.abs(first).max())
    assert not rendered.ref[:, :50].any()


def test_loudness_of_the_clips_is_of_no_matter(speech, noise):
    softer = Signals({utt: samples * np.float32(0.25) for utt, samples in speech.audio.items()})
    mixture = draw(speech, noise)
    np.testing.assert_array_equal(
        render_mixture(mixture, softer, noise).mix, render_mixture(mixture, speech, noise).mix
    )


def test_what_would_be_too_loud_is_scaled_as_a_whole(speech, noise):
    mixture = draw(speech, noise)
    x, y, z = mixture.mic_m
    near = replace(mixture.speakers[1], position_m=(x + 0.05, y, z))
    loud = replace(mixture, speakers=(mixture.speakers[0], near))
    rendered = render_mixture(loud, speech, noise)
    parts = [rendered.mix, *rendered.ref, rendered.noise]
    assert rendered.gain < 1.0
    assert max(np.abs(part).max() for part in parts) == pytest.approx(0.9, abs=2 * LSB)
    ref, noise_part = as_published(loud, speech, noise)
    np.testing.assert_allclose(rendered.ref, rendered.gain * ref, atol=LSB)
    np.testing.assert_allclose(rendered.noise, rendered.gain * noise_part, atol=LSB)
    halved = render_mixture(replace(loud, peak_limit=0.45), speech, noise)
    assert halved.gain == pytest.approx(rendered.gain / 2)


def test_soft_mixtures_are_scaled_up_only_if_that_is_asked_for(speech, noise):
    mixture = next(m for m in (draw(speech, noise, index) for index in range(20)) if m.speakers[0].level_db == 0.0)
    plain = render_mixture(replace(mixture, peak_limit=0.99), speech, noise)
    to_peak = render_mixture(replace(mixture, peak_limit=0.99, scale_to_peak=True), speech, noise)
    assert plain.gain == 1.0 and to_peak.gain > 1.0
    assert max(np.abs(part).max() for part in (to_peak.mix, *to_peak.ref)) == pytest.approx(0.99, abs=2 * LSB)
    np.testing.assert_allclose(to_peak.mix, to_peak.gain * plain.mix, atol=(3 + 3 * to_peak.gain) * LSB / 2)
    silent = Signals({utt: np.zeros_like(samples) for utt, samples in speech.audio.items()})
    assert render_mixture(replace(mixture, scale_to_peak=True), silent, noise).gain == 1.0


def test_rounding_does_not_bring_a_sum_beyond_16_bits() -> None:
    speech = Signals({utt: np.full(10, level, np.float32) for utt, level in (("a", 0.75), ("b", 0.7123), ("c", 0.75))})
    mixture = DryMixture("m", RATE, 10, tuple(ScaledClip(utt, 1.0) for utt in speech.utts), None)
    rendered = render_mixture(mixture, speech, None)
    for samples in (rendered.mix, *rendered.ref):
        np.testing.assert_array_equal(to_pcm(samples) * np.float32(LSB), samples)


def test_silence_stays_silence(speech, noise):
    mixture = draw(speech, noise)
    silent = Signals({utt: np.zeros_like(samples) for utt, samples in speech.audio.items()})
    rendered = render_mixture(mixture, silent, noise)
    assert not rendered.mix.any() and rendered.gain == 1.0
    half = Signals({**speech.audio, mixture.speakers[0].utt: silent.audio[mixture.speakers[0].utt]})
    ref = render_mixture(mixture, half, noise).ref
    assert not ref[0].any() and ref[1].any()


@pytest.mark.parametrize("t60_s", [0.0, 0.001])
def test_every_speaker_is_heard_in_anechoic_rooms(speech, noise, t60_s):
    """Each is its dry cut, delayed by the way to the microphone and attenuated with it."""
    mixture = draw(speech, noise, spec=replace(SPEC, t60_s=(t60_s, t60_s), peak_limit=0.99))
    assert mixture.direct_only
    rendered = render_mixture(mixture, speech, noise)
    for c, (speaker, begin) in enumerate(zip(mixture.speakers, mixture.delays, strict=True)):
        cut = speech.read(speaker.utt, speaker.start, mixture.cut_length).astype(float)
        cut *= 100 * 10 ** (speaker.level_db / 20) / np.linalg.norm(cut)
        path_m = np.linalg.norm(np.subtract(speaker.position_m, mixture.mic_m))
        arrival = begin + path_m / SOUND_SPEED * RATE
        heard = rendered.ref[c] / rendered.gain
        assert not heard[: int(arrival) - 32].any()
        expected = np.sum(cut[: mixture.length - int(arrival)] ** 2) / (4 * np.pi * path_m) ** 2
        assert np.sum(heard.astype(float) ** 2) == pytest.approx(expected, rel=0.05)  # the kernel rounds the edges


def test_utterance_that_is_too_short_is_followed_by_silence(speech, noise):
    mixture = draw(speech, noise, spec=replace(SPEC, overlap=(1.0, 1.0)))
    utt = mixture.speakers[0].utt
    mixture = replace(mixture, speakers=(replace(mixture.speakers[0], start=0), mixture.speakers[1]))
    short = Signals({**speech.audio, utt: speech.audio[utt][:1000]})
    padded = Signals({**speech.audio, utt: np.pad(speech.audio[utt][:1000], (0, 9000))})
    np.testing.assert_array_equal(render_mixture(mixture, short, noise).ref, render_mixture(mixture, padded, noise).ref)


@given(length=st.integers(4000, 64000), sources=st.integers(1, 5), overlap=st.floats(0, 1))
def test_cuts_fill_the_mixture_and_share_their_overlap(length, sources, overlap):
    speakers = tuple(SpeakerDraw(f"s{c}", 0, (1.0, 1.0, 1.0), 0.0) for c in range(sources))
    mixture = Mixture("m", RATE, length, (3.0, 3.0, 3.0), 0.2, (2.0, 2.0, 2.0), overlap, speakers, None, 0.9)
    ends = [delay + mixture.cut_length for delay in mixture.delays]
    assert length - sources <= ends[-1] <= length
    for end, following in zip(ends, mixture.delays[1:], strict=False):
        assert end - following == pytest.approx(overlap * mixture.cut_length, abs=2)


@pytest.mark.parametrize("sources", [1, 3])
def test_any_number_of_speakers(speech, noise, sources):
    mixture = draw(speech, noise, spec=replace(SPEC, sources=sources))
    assert len({speaker.utt for speaker in mixture.speakers}) == sources
    rendered = render_mixture(mixture, speech, noise)
    assert rendered.ref.shape == (sources, 8000) and rendered.ref.any(axis=1).all()
    for ref, delay in zip(rendered.ref, mixture.delays, strict=True):
        assert not ref[:delay].any()  # none is heard before it begins


@pytest.mark.parametrize("n", [1, 1600, 8000, 9000])
@pytest.mark.parametrize("length", [300, 16384, 40000])
def test_convolution_equals_the_general_one(rng, n, length):
    signals = rng.standard_normal((3, length)).astype(np.float32)
    filters = rng.standard_normal((3, n)).astype(np.float32)
    expected = fftconvolve(signals.astype(float), filters.astype(float), axes=1)[:, :length]
    np.testing.assert_allclose(convolve(signals, filters), expected, atol=2e-6 * np.abs(expected).max())


# Clips


def test_rendering_reads_files_as_it_reads_memory(speech_dir, noise_dir):
    speech, noise = load_clips(speech_dir, RATE), load_clips(noise_dir, RATE)
    mixture = draw(speech, noise)
    in_memory = [Signals({utt: clips.read(utt, 0, -1) for utt in clips.utts}) for clips in (speech, noise)]
    np.testing.assert_array_equal(render_mixture(mixture, speech, noise).mix, render_mixture(mixture, *in_memory).mix)
    speakers = {speech.speakers[speaker.utt] for speaker in mixture.speakers}
    assert len(speakers) == 2


def test_faults_of_clips_are_named(speech_dir, noise_dir):
    speech, noise = load_clips(speech_dir, RATE), load_clips(noise_dir, RATE)
    mixture = draw(speech, noise)
    with pytest.raises(UserError, match="noise/wav.scp: has no 's"):
        render_mixture(mixture, noise, noise)
    with pytest.raises(UserError, match="is at 8000 Hz where 16000 Hz is expected"):
        render_mixture(mixture, load_clips(speech_dir, 16000), noise)
    with pytest.raises(UserError, match="rate is 8000 Hz where 16000 Hz is expected; .* set the simulation's sample_"):
        load_clips(speech_dir, 16000).read("s0-0", 0, 100)
    with pytest.raises(UserError, match="name the directory"):
        render_mixture(mixture, speech, None)
    write_table(speech_dir / "utt2spk", {"s0-0": "s0"})
    with pytest.raises(UserError, match="'s0-1' stands in only one of wav.scp and utt2spk"):
        load_clips(speech_dir, RATE)
