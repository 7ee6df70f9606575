"""Room impulse responses of shoebox rooms by the image-source method (Allen and Berkley, 1979), on the CPU.

A response is a sum over image sources of windowed sincs, ``a K(t - tau)``: ``tau`` is the distance as a delay, ``a``
the product of the reflections' gains over ``4 pi`` times the distance. Evaluating K costs 128 taps an image. Here an
image costs two additions: its amplitude is shared between the two nearest cells of a time grid 16 times finer than
the samples, and one 16-phase FIR then interpolates and decimates the whole grid. That is the same as linear
interpolation in a table of K with 16 entries a sample, less the mean of its error: about 7e-4 (relative L2) from the
exact sum, 1.4e-3 for the worst delay.

Memory is the grid, 16 floats a sample, whatever the number of images. A response is summed in one fixed order, with
no fused or reassociated operation, by the thread that asked for it, which doesn't hold the interpreter's lock: the
same arguments give the same bits, however many threads ask at once.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

SOUND_SPEED = 343.0  # m/s
KERNEL_S = 0.008  # length of the windowed sinc
PHASES = 16  # cells of the time grid in one sample
BLOCK = 256  # samples of output that the FIR works on at a time
LONGEST_T60_S = 10.0  # no room rings longer, and the images would take hours
FARTHEST_M = 1000.0  # no hall is so long; a response holds the whole way
NEAREST_M = 1e-3  # from closer than this, an amplitude means nothing


def _compiled(function: Callable) -> Callable:
    """Compile it, once where there is a folder to keep that in, else in each process."""
    # error_model: IEEE division, whose loops can be vectorised. No fastmath: the bits would depend on the machine.
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        return njit(**options)(function)


def simulate_rir(
    room_m: ArrayLike, t60_s: float, sources_m: ArrayLike, mics_m: ArrayLike, sample_rate: int
) -> np.ndarray:
    """Responses from each source to each microphone, all omnidirectional.

    Args:
        room_m: (3,) edges of the room.
        t60_s: reverberation time: Sabine's formula turns it into the walls' reflection; 0 is an anechoic room.
        sources_m: (S, 3) positions; the origin is a corner of the room.
        mics_m: (M, 3) positions.
        sample_rate: in hertz.

    Returns:
        (S, M, n) float32 with n = ``rir_length(rir_duration(...), sample_rate)``; sample 0 is the instant of emission.

    Raises:
        ValueError: for an invalid room, a position outside it, or a source at a microphone.

    A reflection multiplies by ``-sqrt(1 - absorption)``. The minus matters: without it pressure piles up at low
    frequencies, and the response rings too long.
    """
    check_geometry(room_m, t60_s, sources_m, mics_m, sample_rate)
    room_m, sources_m, mics_m = (np.asarray(value, dtype=np.float64) for value in (room_m, sources_m, mics_m))
    duration_s = rir_duration(t60_s, sources_m, mics_m)
    reflection, counts = reflections(room_m, t60_s, duration_s)
    cells_per_m = PHASES * sample_rate / SOUND_SPEED  # lengths in cells from here on: a distance is a delay
    half_kernel = PHASES * _kernel_length(sample_rate) // 2
    taps = _kernel_taps(sample_rate) * np.float32(cells_per_m / (4.0 * math.pi))
    rirs = np.empty((len(sources_m), len(mics_m), rir_length(duration_s, sample_rate)), dtype=np.float32)
    for s, source_m in enumerate(sources_m * cells_per_m):
        for m, mic_m in enumerate(mics_m * cells_per_m):
            x, y, z = map(_image_axis, room_m * cells_per_m, source_m, mic_m, counts, (-reflection,) * 3)
            grid = _deposit_images(*x, *y, *z, rirs.shape[-1], half_kernel)
            _filter_grid(grid, taps, rirs[s, m])
    return rirs


def rir_duration(t60_s: float, sources_m: ArrayLike, mics_m: ArrayLike) -> float:
    """Seconds of the responses: the reverberation time, or the longest direct path with its kernel if that is longer.

    The latter happens in halls, and where T60 is shorter than rooms have it; positions are (S, 3) and (M, 3).
    """
    return max(t60_s, path_lengths(sources_m, mics_m).max() / SOUND_SPEED + KERNEL_S / 2.0)


def rir_length(duration_s: float, sample_rate: int) -> int:
    """Samples of a response of ``duration_s``, rounded up to an even number."""
    n = math.ceil(duration_s * sample_rate)
    return n + n % 2


def reflections(room_m: ArrayLike, t60_s: float, duration_s: float) -> tuple[float, np.ndarray]:
    """What a wall leaves of a wave's pressure, without the sign, and the number of images along each axis (3,).

    The images are those that responses of ``duration_s`` need.
    """
    absorption = sabine_absorption(room_m, t60_s)
    if absorption >= 1.0:
        return 0.0, np.ones(3, dtype=int)
    return math.sqrt(1.0 - absorption), np.ceil(2.0 * duration_s * SOUND_SPEED / np.asarray(room_m)).astype(int)


def sabine_absorption(room_m: ArrayLike, t60_s: float) -> float:
    """The walls' absorption that gives a room its T60 by Sabine's formula; from 1 on, no walls can."""
    if t60_s == 0.0:
        return math.inf
    x, y, z = room_m
    return 0.161 * x * y * z / (2.0 * (x * y + y * z + x * z) * t60_s)


def is_direct_only(room_m: ArrayLike, t60_s: float) -> bool:
    """Whether walls that absorb everything still ring for T60 or longer, so that only the direct path is left."""
    return sabine_absorption(room_m, t60_s) >= 1.0


def check_geometry(room_m: ArrayLike, t60_s: float, sources_m: ArrayLike, mics_m: ArrayLike, sample_rate: int) -> None:
    """Raise ValueError, in one sentence, for what ``simulate_rir`` can't simulate; the arguments are the same."""
    room_m, sources_m, mics_m = (np.asarray(value, dtype=np.float64) for value in (room_m, sources_m, mics_m))
    if room_m.shape != (3,) or not (np.isfinite(room_m).all() and (room_m > 0.0).all()):
        raise ValueError(f"a room has three edges longer than 0 m, not {room_m.tolist()}")
    if not 0.0 <= t60_s <= LONGEST_T60_S:
        raise ValueError(f"t60_s is {t60_s}; give 0 (anechoic) to {LONGEST_T60_S:g} s")
    if sample_rate <= 0:
        raise ValueError(f"sample_rate is {sample_rate} Hz; it must be above 0")
    for name, points_m in (("source", sources_m), ("microphone", mics_m)):
        if points_m.ndim != 2 or points_m.shape[1] != 3 or not len(points_m):
            raise ValueError(f"{name} positions have the shape {points_m.shape}; (1 or more, 3) is expected")
        for point_m in points_m:
            if not ((point_m > 0.0) & (point_m < room_m)).all():
                raise ValueError(f"the {name} at {point_m.tolist()} m is not inside the room of {room_m.tolist()} m")
    distances_m = path_lengths(sources_m, mics_m)
    nearest_m, farthest_m = distances_m.min(), distances_m.max()
    if nearest_m < NEAREST_M:
        raise ValueError(f"a source is {nearest_m:g} m from a microphone; keep {NEAREST_M:g} m at least")
    if farthest_m > FARTHEST_M:
        raise ValueError(f"a source is {farthest_m:g} m from a microphone; {FARTHEST_M:g} m is the most")


def path_lengths(sources_m: ArrayLike, mics_m: ArrayLike) -> np.ndarray:
    """Metres from each source (S, 3) to each microphone (M, 3): (S, M)."""
    return np.linalg.norm(np.asarray(sources_m)[:, None] - np.asarray(mics_m), axis=-1)


def _kernel_length(sample_rate: int) -> int:
    return round(KERNEL_S * sample_rate)


@lru_cache
def _kernel_taps(sample_rate: int) -> np.ndarray:
    """(PHASES, L) float32: the windowed sinc by phase, from its right end; zeros fill L up to a multiple of 4.

    Between two cells, linear weights give K + (u (1 - u) / 2) K'' instead of K at the fraction u (in cells), which is
    K + K'' / 12 on average; that average is taken out here, by a second difference, and leaves half the error.
    """
    length = _kernel_length(sample_rate)
    taps = np.arange(length + -length % 4)
    x = length / 2 - taps - np.arange(PHASES)[:, None] / PHASES

    def kernel(x: np.ndarray) -> np.ndarray:
        return np.where(np.abs(x) < length / 2, np.sinc(x) * 0.5 * (1.0 + np.cos(2.0 * np.pi * x / length)), 0.0)

    return ((14.0 * kernel(x) - kernel(x - 1.0 / PHASES) - kernel(x + 1.0 / PHASES)) / 12.0).astype(np.float32)


@_compiled
def _image_axis(edge, source, mic, count, reflection):
    """Squared offsets from the microphone, and gains, of the ``count`` images along one axis, nearest first."""
    squares = np.empty(count)
    gains = np.empty(count)
    for k in range(count):
        i = k - count // 2
        reflections = abs(i)
        turned = reflections % 2
        offset = 2 * ((i + turned) // 2) * edge + (1 - 2 * turned) * source - mic
        gain = 1.0
        for _ in range(reflections):
            gain *= reflection
        squares[k] = offset * offset
        gains[k] = gain
    order = np.argsort(squares, kind="mergesort")
    return squares[order], gains[order]


@_compiled
def _deposit_images(x2, x_gain, y2, y_gain, z2, z_gain, n, half_kernel):
    """Share each image's amplitude between the two cells around its delay; cell 0 lies half a kernel before emission.

    Images too late for the last of ``n`` samples are left out; since the axes are sorted, they end each loop.
    """
    latest = PHASES * (n - 1) + half_kernel
    blocks = (n + BLOCK - 1) // BLOCK
    grid = np.zeros(PHASES * BLOCK * blocks + 2 * half_kernel + 4 * PHASES, dtype=np.float32)
    cells = np.empty(z2.size, dtype=np.int64)
    nearer = np.empty(z2.size, dtype=np.float32)
    farther = np.empty(z2.size, dtype=np.float32)
    for i in range(x2.size):
        count = z2.size
        for j in range(y2.size):
            xy2 = x2[i] + y2[j]
            xy_gain = x_gain[i] * y_gain[j]
            while count > 0 and xy2 + z2[count - 1] >= latest * latest:
                count -= 1
            if count == 0:
                break
            for k in range(count):  # apart from the additions, so that it can be vectorised
                delay = np.sqrt(xy2 + z2[k])
                amplitude = xy_gain * z_gain[k] / delay
                cells[k] = np.int64(delay)
                share = amplitude * (delay - cells[k])
                nearer[k] = amplitude - share
                farther[k] = share
            for k in range(count):
                cell = np.uint64(cells[k] + half_kernel)  # unsigned: no test for negative indices
                grid[cell] += nearer[k]
                grid[cell + np.uint64(1)] += farther[k]
    return grid


@_compiled
def _filter_grid(grid, taps, rir):
    """rir[t] = sum over p, k of taps[p, k] grid[16 (t + k) + p], by blocks of samples so that sums stay in cache."""
    width = grid.size // PHASES
    phases = np.empty((PHASES, width), dtype=np.float32)
    for w in range(width):
        for p in range(PHASES):
            phases[p, w] = grid[PHASES * w + p]
    block = np.empty(BLOCK, dtype=np.float32)
    for start in range(0, rir.size, BLOCK):
        block[:] = 0.0
        for p in range(PHASES):
            for k in range(0, taps.shape[1], 4):
                tap0, tap1, tap2, tap3 = taps[p, k], taps[p, k + 1], taps[p, k + 2], taps[p, k + 3]
                cells = phases[p, start + k : start + k + BLOCK + 3]
                for t in range(BLOCK):
                    block[t] += (tap0 * cells[t] + tap1 * cells[t + 1]) + (tap2 * cells[t + 2] + tap3 * cells[t + 3])
        stop = min(start + BLOCK, rir.size)
        rir[start:stop] = block[: stop - start]
