"""Which engine makes the room impulse responses: ours, or gpuRIR, which the paper used, where that is installed.

Both follow one definition (that of `itersep.simulate.rir`), have one interface, and agree but for the rounding of
delays, a few thousandths. Ours runs anywhere and gives the same bits anywhere; gpuRIR needs an NVIDIA GPU.
"""

from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from itersep.simulate.rir import check_geometry, reflections, rir_duration, rir_length, simulate_rir
from itersep.system.errors import UserError

Engine = Literal["image", "gpurir"]


def simulate_room(
    engine: Engine, room_m: ArrayLike, t60_s: float, sources_m: ArrayLike, mics_m: ArrayLike, sample_rate: int
) -> np.ndarray:
    """Responses (S, M, n) from each source to each microphone by ``engine``; see `simulate_rir` for the arguments.

    Raises ValueError for what can't be simulated, UserError if the engine is not installed.
    """
    if engine == "image":
        return simulate_rir(room_m, t60_s, sources_m, mics_m, sample_rate)
    check_geometry(room_m, t60_s, sources_m, mics_m, sample_rate)
    duration_s = rir_duration(t60_s, sources_m, mics_m)
    beta, images = reflections(room_m, t60_s, duration_s)  # gpuRIR flips the sign at every reflection by itself
    room_m, sources_m, mics_m = (np.asarray(value, dtype=np.float32) for value in (room_m, sources_m, mics_m))
    walls = np.full(6, beta, dtype=np.float32)
    made = load_gpurir().simulateRIR(room_m, walls, sources_m, mics_m, images.tolist(), duration_s, sample_rate)
    rirs = np.zeros((len(sources_m), len(mics_m), rir_length(duration_s, sample_rate)), dtype=np.float32)
    n = min(rirs.shape[-1], made.shape[-1])  # lengths may differ by a sample or two, where rounding decides
    rirs[..., :n] = made[..., :n]
    return rirs


def check_engine(engine: Engine) -> None:
    """Raise UserError, in one sentence, if the engine can't be used here."""
    if engine == "gpurir":
        load_gpurir()


def load_gpurir() -> ModuleType:
    """The module gpuRIR; raises UserError that says how to get it."""
    try:
        import gpuRIR
    except ImportError as error:
        raise UserError(
            f"the engine 'gpurir' needs the package gpuRIR, which does not load here ({error}); on a machine with an "
            "NVIDIA GPU and the CUDA toolkit, tools/install_gpurir.sh installs it; the engine 'image' needs neither"
        ) from None
    return gpuRIR
