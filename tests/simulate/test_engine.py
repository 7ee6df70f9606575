"""The choice of engine: what gpuRIR is asked for, that both agree, and what is said where it is not installed."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from itersep.simulate.engine import check_engine, simulate_room
from itersep.simulate.mixture import SimulationSpec, draw_mixture, load_clips, render_mixture
from itersep.simulate.rir import rir_length, simulate_rir
from itersep.system.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
ROOMS = [
    # room_m, t60_s, sources_m, mics_m
    ((3.0, 4.0, 2.5), 0.15, [(1.1, 0.7, 1.2), (2.5, 2.5, 1.5)], [(2.2, 3.1, 0.9)]),
    ((3.1, 3.0, 2.6), 0.12, [(0.5, 2.5, 1.9)], [(0.6, 2.4, 1.5), (2.0, 1.0, 1.0)]),
    ((9.0, 9.0, 4.0), 0.1, [(2.0, 3.0, 1.5)], [(5.0, 6.0, 1.2)]),  # the direct path only
    ((9.0, 9.0, 4.0), 0.0, [(2.0, 3.0, 1.5), (1.0, 1.0, 1.5)], [(5.0, 6.0, 1.2)]),  # anechoic
    ((70.0, 70.0, 2.5), 0.21, [(1.0, 1.0, 1.0)], [(69.0, 69.0, 1.5)]),  # a way longer than T60
]


def simulate_slowly(room_sz, beta, pos_src, pos_rcv, nb_img, Tmax, fs):  # noqa: N803  its own names
    """What gpuRIR documents of its simulateRIR, in float64: every image of a box, a sign flipped at each reflection."""
    n, half = rir_length(Tmax, fs), round(0.008 * fs) // 2
    assert len(beta) == 6 and all(0.0 <= wall <= 1.0 for wall in beta)
    rirs = np.zeros((len(pos_src), len(pos_rcv), n), dtype=np.float32)
    index = np.stack(np.meshgrid(*(np.arange(k) - k // 2 for k in nb_img), indexing="ij"), -1).reshape(-1, 3)
    odd = np.abs(index) % 2
    amplitudes = np.prod((-np.float64(beta[0])) ** np.abs(index), axis=1)
    for s, source in enumerate(np.float64(pos_src)):
        images = 2 * np.ceil(index / 2) * np.float64(room_sz) + (1 - 2 * odd) * source
        for m, mic in enumerate(np.float64(pos_rcv)):
            distances = np.linalg.norm(images - mic, axis=1)
            for distance, amplitude in zip(distances, amplitudes, strict=True):
                delay = distance * fs / 343.0
                t = np.arange(max(0, int(delay) - half), min(n, int(delay) + half + 2))
                window = 0.5 * (1 + np.cos(np.pi * (t - delay) / half)) * (np.abs(t - delay) < half)
                rirs[s, m, t] += amplitude / (4 * np.pi * distance) * np.sinc(t - delay) * window
    return rirs


@pytest.fixture
def stand_in(monkeypatch):
    """A module of gpuRIR's name with its documented function, and a list of the calls."""
    module, calls = ModuleType("gpuRIR"), []
    module.simulateRIR = lambda *arguments: calls.append(arguments) or simulate_slowly(*arguments)
    monkeypatch.setitem(sys.modules, "gpuRIR", module)
    return calls


@pytest.fixture
def absent(monkeypatch):
    """As if gpuRIR were not installed, even where it is."""
    monkeypatch.setitem(sys.modules, "gpuRIR", None)


@pytest.mark.parametrize("room", ROOMS)
def test_gpurir_is_asked_for_the_same_room(stand_in, room):
    ours, theirs = (simulate_room(engine, *room, 16000) for engine in ("image", "gpurir"))
    assert (theirs.shape, theirs.dtype) == (ours.shape, ours.dtype) and len(stand_in) == 1
    assert np.linalg.norm(theirs - ours) < 2e-3 * np.linalg.norm(ours)


@pytest.mark.parametrize("room", ROOMS)
def test_ours_is_the_engine_called_image(absent, room):
    np.testing.assert_array_equal(simulate_room("image", *room, 16000), simulate_rir(*room, 16000))


@pytest.mark.parametrize("room", ROOMS)
def test_the_real_gpurir_agrees_with_ours(cuda, room):
    """gpuRIR tabulates its kernel, and sums in float32, in any order."""
    pytest.importorskip("gpuRIR", exc_type=ImportError)
    ours, theirs = (simulate_room(engine, *room, 16000) for engine in ("image", "gpurir"))
    assert theirs.shape == ours.shape
    assert np.linalg.norm(theirs - ours) < 1e-2 * np.linalg.norm(ours)


@pytest.mark.parametrize("length", [-2, 2])
def test_another_rounding_of_the_length_is_of_no_matter(stand_in, monkeypatch, length):
    room = ROOMS[0]
    made = simulate_room("gpurir", *room, 16000)
    n = made.shape[-1] + length
    other = np.concatenate([made, made[..., :2]], axis=-1)[..., :n]
    monkeypatch.setattr(sys.modules["gpuRIR"], "simulateRIR", lambda *_: other)
    again = simulate_room("gpurir", *room, 16000)
    assert again.shape == made.shape
    np.testing.assert_array_equal(again[..., : n - 2], made[..., : n - 2])


@pytest.mark.parametrize("engine", ["image", "gpurir"])
def test_neither_engine_takes_what_is_no_room(stand_in, engine):
    with pytest.raises(ValueError, match="not inside the room"):
        simulate_room(engine, (3.0, 3.0, 3.0), 0.2, [(4.0, 1.0, 1.0)], [(1.0, 1.0, 1.0)], 16000)
    assert not stand_in


def test_a_mixture_is_rendered_by_the_engine_of_its_line(speech_dir, noise_dir, stand_in):
    speech, noise = load_clips(speech_dir, 8000), load_clips(noise_dir, 8000)
    small = {name: (3.0, 3.1) for name in ("room_x_m", "room_y_m", "room_z_m")}
    spec = SimulationSpec(sample_rate=8000, length_s=0.5, t60_s=(0.1, 0.11), engine="gpurir", **small)
    mixture = draw_mixture(spec, speech, noise, seed=0, set_name="s", index=0)
    assert '"engine": "gpurir"' in mixture.to_json()
    ours = render_mixture(replace(mixture, engine="image"), speech, noise)
    assert not stand_in
    theirs = render_mixture(mixture, speech, noise)
    assert len(stand_in) == 1
    np.testing.assert_allclose(theirs.mix, ours.mix, atol=5e-3 * np.abs(ours.mix).max())
    assert (theirs.mix != ours.mix).any()


def test_where_gpurir_is_missing_one_sentence_says_how_to_get_it(absent):
    check_engine("image")
    for use in (lambda: check_engine("gpurir"), lambda: simulate_room("gpurir", *ROOMS[0], 16000)):
        with pytest.raises(UserError, match=r"needs the package gpuRIR.*tools/install_gpurir.sh installs it"):
            use()


@pytest.mark.parametrize(
    "programs, said",
    [
        ([], "run tools/install.sh first"),
        (["python"], "finds no CUDA compiler"),
        (["python", "nvcc"], "finds no C++ compiler"),
    ],
)
def test_the_installer_names_what_it_lacks(tmp_path, programs, said):
    """In a copy of the tools, with a python that has no gpuRIR, and only the programs named in the path."""
    bin_dir, venv_bin = tmp_path / "bin", tmp_path / "tools/venv/bin"
    bin_dir.mkdir()
    venv_bin.mkdir(parents=True)
    for program in ("bash", "dirname"):
        (bin_dir / program).symlink_to(shutil.which(program))
    for program in programs:
        path = (venv_bin if program == "python" else bin_dir) / program
        path.write_text("#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
    script = tmp_path / "tools/install_gpurir.sh"
    text = (ROOT / "tools/install_gpurir.sh").read_text()
    script.write_text(text.replace("/usr/local/cuda/bin/nvcc", str(tmp_path / "cuda/bin/nvcc")))
    environment = {"PATH": str(bin_dir)}
    done = subprocess.run([shutil.which("bash"), str(script)], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert said in done.stderr
