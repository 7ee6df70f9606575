#!/usr/bin/env python3
"""Room impulse responses: time a room of ours, of pyroomacoustics and of rir-generator, side by side."""

import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import numpy as np

from itersep.simulate.mixture import SimulationSpec
from itersep.simulate.rir import SOUND_SPEED, rir_length, sabine_absorption, simulate_rir
from itersep.system.cli import run_program
from itersep.system.errors import UserError

RATE = 16000
Room = tuple[np.ndarray, float, np.ndarray, np.ndarray]  # edges, T60, three sources, a microphone


def main(rooms: int = 20, seed: int = 0) -> None:
    """Time engines on rooms of the paper's distribution, in turn, in one process and one thread.

    Each room has one microphone and three sources. Rooms whose walls would have to absorb everything are not among
    them, since some engines refuse those. pyroomacoustics gets the order of reflections that it advises for the T60;
    it can't flip the sign at a wall, so that its responses are others. What is not installed is left out.

    Args:
        rooms: number of rooms
        seed: another seed gives other rooms
    """
    if rooms < 1:
        raise UserError(f"--rooms must be at least 1, not {rooms}")
    rng = np.random.default_rng(seed)
    drawn = [draw_room(rng) for _ in range(rooms)]
    engines: dict[str, Callable[[Room], object]] = {"itersep": ours}
    for name, package, engine in (
        ("pyroomacoustics", "pyroomacoustics", pyroomacoustics),
        ("rir-generator", "rir_generator", rir_generator),
    ):
        if peer := find(name, package):
            engines[name] = lambda room, engine=engine, peer=peer: engine(peer, room)
    for engine in engines.values():
        engine(drawn[0])  # compiles, loads, warms up
    times_ms: dict[str, list[float]] = {name: [] for name in engines}
    for room in drawn:
        for name, engine in engines.items():
            start = time.perf_counter()
            engine(room)
            times_ms[name].append(1000.0 * (time.perf_counter() - start))
    print(f"{rooms} rooms of 3 responses, {RATE} Hz, one thread\n")
    print("| engine | ms a room, median | mean | times ours (ratio of medians) |\n|---|---|---|---|")
    base = statistics.median(times_ms["itersep"])
    for name, values in times_ms.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.2f} | {statistics.mean(values):.2f} | {median / base:.1f} |")


def draw_room(rng: np.random.Generator) -> Room:
    """A room of the paper's distribution that can have its T60."""
    spec = SimulationSpec()
    low, high = zip(spec.room_x_m, spec.room_y_m, spec.room_z_m, strict=True)
    while sabine_absorption(room_m := rng.uniform(low, high), t60_s := rng.uniform(*spec.t60_s)) > 0.99:
        pass
    margin_m = spec.wall_margin_m
    return room_m, t60_s, rng.uniform(margin_m, room_m - margin_m, (3, 3)), rng.uniform(margin_m, room_m - margin_m)


def find(name: str, package: str) -> ModuleType | None:
    """The module of a peer, or None with a word on how to get it."""
    try:
        return import_module(package)
    except ImportError:
        print(f"{name} is not installed and left out; 'pip install {name}' adds it", file=sys.stderr)
        return None


def ours(room: Room) -> object:
    room_m, t60_s, sources_m, mic_m = room
    return simulate_rir(room_m, t60_s, sources_m, [mic_m], RATE)


def pyroomacoustics(peer: ModuleType, room: Room) -> object:
    room_m, t60_s, sources_m, mic_m = room
    absorption, order = peer.inverse_sabine(t60_s, room_m)
    peer.constants.set("num_threads", 1)
    box = peer.ShoeBox(room_m, fs=RATE, materials=peer.Material(absorption), max_order=order, air_absorption=False)
    for source_m in sources_m:
        box.add_source(source_m)
    box.add_microphone(mic_m)
    box.compute_rir()
    return box.rir


def rir_generator(peer: ModuleType, room: Room) -> object:
    room_m, t60_s, sources_m, mic_m = room
    reflection = -np.sqrt(1.0 - sabine_absorption(room_m, t60_s))
    options = {"beta": [reflection] * 6, "nsample": rir_length(t60_s, RATE), "hp_filter": False}
    return [peer.generate(SOUND_SPEED, RATE, mic_m, source_m, room_m, **options) for source_m in sources_m]


if __name__ == "__main__":
    run_program(main)
