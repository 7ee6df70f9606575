"""The image-source engine against its formulas, an independent engine, and the symmetries of a room."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numba import njit

from itersep.simulate.rir import PHASES, SOUND_SPEED, _compiled, is_direct_only, rir_length, simulate_rir

SMALL_ROOMS = [
    # room_m, t60_s, source_m, mic_m
    ((3.0, 4.0, 2.5), 0.15, (1.1, 0.7, 1.2), (2.2, 3.1, 0.9)),
    ((3.1, 3.0, 2.6), 0.20, (0.5, 2.5, 1.9), (0.6, 2.4, 1.5)),
    ((5.2, 3.3, 2.5), 0.18, (4.6, 1.0, 1.0), (0.7, 2.0, 1.4)),
]
HALL = ((70.0, 70.0, 2.5), 0.21, (1.0, 1.0, 1.0), (69.0, 69.0, 1.5))  # sound takes 0.28 s across it
DIRECT_ONLY_ROOM = ((9.0, 9.0, 4.0), 0.1)


def walls(room_m, t60_s) -> float:
    """Sabine's absorption, once more."""
    area = 2 * (room_m[0] * room_m[1] + room_m[1] * room_m[2] + room_m[0] * room_m[2])
    return 0.161 * np.prod(room_m) / (area * t60_s)


def sum_of_images(room_m, t60_s, source_m, mic_m, sample_rate) -> np.ndarray:
    """The definition in float64: every image of the box, every tap of its windowed sinc."""
    duration_s = max(t60_s, np.linalg.norm(np.subtract(source_m, mic_m)) / SOUND_SPEED + 0.004)
    n = rir_length(duration_s, sample_rate)
    width = round(0.008 * sample_rate)
    beta = np.sqrt(max(0.0, 1.0 - walls(room_m, t60_s)))
    offsets, gains = [], []
    for edge, source, mic in zip(room_m, source_m, mic_m, strict=True):
        count = int(np.ceil(2 * duration_s * SOUND_SPEED / edge))
        i = np.arange(count) - count // 2
        parity = np.abs(i) % 2
        offsets.append(2 * np.ceil(i / 2) * edge + (1 - 2 * parity) * source - mic)
        gains.append((-beta) ** np.abs(i))
    x, y, z = np.meshgrid(*offsets, indexing="ij")
    distance = np.sqrt(x**2 + y**2 + z**2).ravel()
    amplitude = np.einsum("i,j,k->ijk", *gains).ravel() / (4 * np.pi * distance)
    delay = distance * sample_rate / SOUND_SPEED
    taps = np.floor(delay - width / 2).astype(int)[:, None] + np.arange(width + 2)
    t = taps - delay[:, None]
    kernel = np.where(np.abs(t) < width / 2, np.sinc(t) * 0.5 * (1 + np.cos(2 * np.pi * t / width)), 0.0)
    inside = (taps >= 0) & (taps < n)
    return np.bincount(taps[inside], (amplitude[:, None] * kernel)[inside], n)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Relative L2."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def random_room(rng: np.random.Generator):
    """A room of the paper's distribution, with three sources and a microphone."""
    room_m = rng.uniform((3, 3, 2.5), (10, 10, 4))
    return room_m, rng.uniform(0.1, 0.5), rng.uniform(0.5, room_m - 0.5, (3, 3)), rng.uniform(0.5, room_m - 0.5, (1, 3))


@pytest.mark.parametrize("sample_rate", [8000, 12125, 16000])  # 12125 Hz: a kernel of odd length, 97
@pytest.mark.parametrize("room", [*SMALL_ROOMS, HALL])
def test_equals_the_sum_of_all_images(room, sample_rate):
    room_m, t60_s, source_m, mic_m = room
    rir = simulate_rir(room_m, t60_s, [source_m], [mic_m], sample_rate)[0, 0]
    assert rir.dtype == np.float32
    assert distance(rir, sum_of_images(*room, sample_rate)) < 1e-3


@pytest.mark.parametrize("room", SMALL_ROOMS)
def test_agrees_with_rir_generator(room):
    rir_generator = pytest.importorskip("rir_generator")
    room_m, t60_s, source_m, mic_m = room
    beta = -np.sqrt(1 - walls(room_m, t60_s))
    n = rir_length(t60_s, 16000)
    theirs = rir_generator.generate(343, 16000, mic_m, source_m, room_m, beta=[beta] * 6, nsample=n, hp_filter=False)
    # it cuts a sphere of images where we cut a box: a few late ones differ
    assert distance(simulate_rir(room_m, t60_s, [source_m], [mic_m], 16000)[0, 0], theirs[:, 0]) < 1e-2


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.5 / PHASES, 7.5 / PHASES])
@pytest.mark.parametrize("t60_s", [DIRECT_ONLY_ROOM[1], 0.001, 0.0])
def test_direct_path_is_alone_and_whole_below_sabines_limit(fraction, t60_s):
    room_m, _ = DIRECT_ONLY_ROOM
    assert is_direct_only(room_m, t60_s)
    delay = 200 + fraction  # in samples; the fractions hit cells of the time grid, and the worst place between two
    distance_m = delay * SOUND_SPEED / 16000
    rir = simulate_rir(room_m, t60_s, [(2.0 + distance_m, 3.0, 1.5)], [(2.0, 3.0, 1.5)], 16000)[0, 0]
    assert len(rir) >= delay + 64
    t = np.arange(len(rir)) - delay
    kernel = np.where(np.abs(t) < 64, np.sinc(t) * 0.5 * (1 + np.cos(2 * np.pi * t / 128)), 0.0)
    assert distance(rir, kernel / (4 * np.pi * distance_m)) < 2e-3


def test_absorption_of_one_is_where_the_reflections_end():
    room_m = (6.0, 5.0, 3.0)
    limit_s = walls(room_m, 1.0)
    assert is_direct_only(room_m, limit_s * 0.999) and not is_direct_only(room_m, limit_s * 1.001)
    source_m, mic_m = [(1.0, 1.0, 1.0)], [(4.0, 3.0, 1.5)]
    below = simulate_rir(room_m, limit_s * (1 - 1e-9), source_m, mic_m, 16000)
    above = simulate_rir(room_m, limit_s * (1 + 1e-9), source_m, mic_m, 16000)
    assert np.abs(below[0, 0, :1800] - above[0, 0, :1800]).max() < 1e-5


def test_nothing_is_louder_or_earlier_than_the_direct_path(rng):
    room_m, t60_s, sources_m, mics_m = random_room(rng)
    for source_m, rir in zip(sources_m, simulate_rir(room_m, t60_s, sources_m, mics_m, 16000)[:, 0], strict=True):
        delay = np.linalg.norm(source_m - mics_m[0]) / SOUND_SPEED * 16000
        assert not rir[: max(0, int(delay) - 64)].any()
        assert abs(np.argmax(np.abs(rir[: int(delay) + 20])) - delay) <= 1


def test_source_and_microphone_may_change_places(rng):
    for _ in range(5):
        room_m, t60_s, sources_m, mics_m = random_room(rng)
        there = simulate_rir(room_m, t60_s, sources_m, mics_m, 16000)
        back = simulate_rir(room_m, t60_s, mics_m, sources_m, 16000)
        assert distance(back[0], there[:, 0]) < 1e-3


def test_axes_may_change_places(rng):
    room_m, t60_s, sources_m, mics_m = random_room(rng)
    rirs = simulate_rir(room_m, t60_s, sources_m, mics_m, 16000)
    for axes in ([1, 2, 0], [2, 1, 0]):
        turned = simulate_rir(room_m[axes], t60_s, sources_m[:, axes], mics_m[:, axes], 16000)
        assert distance(turned, rirs) < 1e-4


def test_responses_of_a_call_are_those_of_single_calls(rng):
    room_m, t60_s, sources_m, _ = random_room(rng)
    mics_m = rng.uniform(0.5, room_m - 0.5, (2, 3))
    rirs = simulate_rir(room_m, t60_s, sources_m, mics_m, 16000)
    assert rirs.shape == (3, 2, rir_length(t60_s, 16000))
    for s in range(3):
        for m in range(2):
            alone = simulate_rir(room_m, t60_s, sources_m[s : s + 1], mics_m[m : m + 1], 16000)
            np.testing.assert_array_equal(alone[0, 0], rirs[s, m])


def test_threads_change_no_bit(rng):
    rooms = [random_room(rng) for _ in range(12)]
    one_by_one = [simulate_rir(*room, 16000) for room in rooms]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda room: simulate_rir(*room, 16000), rooms))
    for one, other in zip(one_by_one, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rooms_ring_for_the_time_asked(rng):
    ratios = []
    while len(ratios) < 20:
        room_m, t60_s, sources_m, mics_m = random_room(rng)
        if is_direct_only(room_m, t60_s):
            continue
        rir = simulate_rir(room_m, t60_s, sources_m[:1], mics_m, 16000)[0, 0].astype(float)
        decay_db = 10 * np.log10(np.cumsum(rir[::-1] ** 2)[::-1] / np.sum(rir**2))  # Schroeder's backward integral
        start, stop = np.argmax(decay_db < -5), np.argmax(decay_db < -25)
        ratios.append(3 * (stop - start) / 16000 / t60_s)
    assert np.median(ratios) == pytest.approx(1.0, abs=0.12)


@pytest.mark.parametrize("t60_s, n", [(0.1, 1600), (0.10001, 1602), (0.30007, 4802), (0.5, 8000)])
def test_length_is_even_and_covers_t60(t60_s, n):
    assert rir_length(t60_s, 16000) == n
    assert simulate_rir((8.0, 7.0, 3.0), t60_s, [(1, 1, 1)], [(2, 2, 2)], 16000).shape[-1] == n


@pytest.mark.parametrize(
    "change, said",
    [
        ({"room_m": (3.0, 4.0)}, "three edges"),
        ({"room_m": (3.0, 4.0, -2.0)}, "three edges"),
        ({"room_m": (3.0, np.inf, 2.0)}, "three edges"),
        ({"t60_s": -0.1}, "t60_s is -0.1"),
        ({"t60_s": np.nan}, "t60_s is nan"),
        ({"t60_s": 1e9}, "t60_s is 1000000000.0"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"sources_m": [(1.0, 1.0, 2.6)]}, "source at .* not inside"),
        ({"mics_m": [(0.0, 1.0, 1.0)]}, "microphone at .* not inside"),
        ({"mics_m": [(np.nan, 1.0, 1.0)]}, "microphone at .* not inside"),
        ({"sources_m": (1.0, 1.0, 1.0)}, "source positions have the shape"),
        ({"sources_m": np.empty((0, 3))}, "source positions have the shape"),
        ({"sources_m": [(2.0, 2.0, 1.0)]}, "from a microphone; keep"),
        ({"room_m": (3000.0, 4.0, 2.5), "sources_m": [(1500.0, 1.0, 1.0)]}, "1000 m is the most"),
    ],
)
def test_what_is_no_room_is_refused(change, said):
    good = {"room_m": (3.0, 4.0, 2.5), "t60_s": 0.2, "sources_m": [(1.0, 1.0, 1.0)], "mics_m": [(2.0, 2.0, 1.0)],
            "sample_rate": 16000}  # fmt: skip
    simulate_rir(**good)
    with pytest.raises(ValueError, match=said):
        simulate_rir(**{**good, **change})


def test_where_compiled_code_cannot_be_kept_it_is_compiled_all_the_same() -> None:
    """As in a package that its user cannot write to: here, a function without a file."""
    scope: dict = {}
    exec("def add(a, b): return a + b", scope)
    with pytest.raises(RuntimeError, match="cannot cache function"):
        njit(cache=True)(scope["add"])
    assert _compiled(scope["add"])(1, 2) == 3
