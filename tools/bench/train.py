#!/usr/bin/env python3
"""Time and memory of a training step: this project's network beside the same network of other toolkits."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from typing import Literal

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from itersep.losses.pit import pit
from itersep.losses.sdr import snr
from itersep.models.blocks.dprnn import DPRNNSpec
from itersep.models.filterbank import FilterbankSpec
from itersep.models.iterative import IterativeSeparator
from itersep.models.separator import SeparatorSpec
from itersep.system.cli import run_program
from itersep.train.runtime import autocast, can_use_bf16, choose_device, keep_freed_memory, peak_memory_mib

SAMPLE_RATE, LENGTH_S, SOURCES = 16000, 4, 2
FILTERS, WINDOW, HOP, FEATURES, HIDDEN, CHUNK, BLOCKS = 128, 32, 16, 64, 128, 100, 3
CLIP_NORM = 5.0


@dataclass(frozen=True)
class Entry:
    """A line of the table."""

    network: str
    precision: str
    keeps_memory: bool  # whether the C library is set up as our training sets it up

    @property
    def name(self) -> str:
        """The network and, where it is not as its users have it, the allocator."""
        borrowed = self.keeps_memory and self.network != "itersep"
        return self.network + (", with our allocation" if borrowed else "")


def main(
    batch_size: PositiveInt = 2,
    steps: PositiveInt = 15,
    threads: PositiveInt = 2,
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    """Print a table of one training step: forward, SNR under PIT, backward, clipping, Adam, on 4 s of noise at 16 kHz.

    All networks are a DPRNN in the time domain: 128 filters of 32 samples, hop 16, 3 blocks of two bidirectional LSTMs
    (64 features, 128 units a direction), chunks of 100 frames, 2 masks; ours does one iteration. ESPnet's has no
    bottleneck, so that it has 64 filters here. Each runs in a process of its own and they take turns, a step each;
    medians are shown. Memory is the process's peak above what it had before the network was built (on CUDA:
    max_memory_allocated). Toolkits that are not installed are left out; tools/bench/install_peers.sh installs them.

    Args:
        batch_size: mixtures in a step
        steps: steps of each network that are timed, after two that are not
        threads: CPU threads
        device: where to run
    """
    place = choose_device(device)
    networks = [name for name in NETWORKS if is_installed(name)]
    settings = (False, True) if device == "cpu" else (False,)
    results: dict[Entry, tuple[list[float], float]] = {}
    precisions = ("fp32", "bf16") if can_use_bf16(place) else ("fp32",)
    for precision in precisions:  # one after the other, since what keeps its memory keeps it from the others
        entries = [
            Entry(network, precision, keeps)
            for network in networks
            for keeps in ((device == "cpu",) if network == "itersep" else settings)
        ]
        results |= measure(entries, steps, batch_size, threads, place)
    print_table(results, networks, batch_size, threads, device)


def measure(
    entries: list[Entry], steps: int, batch_size: int, threads: int, device: torch.device
) -> dict[Entry, tuple[list[float], float]]:
    """Seconds a mixture in each of ``steps`` steps, taken in turn, and peak memory in MiB."""
    context = torch.multiprocessing.get_context("spawn")
    workers = {}
    for entry in entries:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(entry, batch_size, threads, device, theirs), daemon=True)
        process.start()
        theirs.close()  # so that a worker that dies ends us too
        workers[entry] = (process, ours)
        ours.recv()  # ready: the next one starts on a quiet machine
    times: dict[Entry, list[float]] = {entry: [] for entry in entries}
    for _ in range(steps):
        for entry, (_, pipe) in workers.items():
            pipe.send("step")
            times[entry].append(pipe.recv() / batch_size)
    results = {}
    for entry, (process, pipe) in workers.items():
        pipe.send("end")
        results[entry] = (times[entry], pipe.recv())
        process.join()
    return results


def serve(entry: Entry, batch_size: int, threads: int, device: torch.device, pipe: Connection) -> None:
    """Take a training step whenever asked to, and tell its seconds; at the end, the peak memory in MiB."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if entry.keeps_memory:
        keep_freed_memory()
    choose_device(device.type)  # settles the precision of fp32 in this process, for every toolkit
    before = peak_memory_mib(device)
    network = NETWORKS[entry.network]().to(device)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    mix = torch.randn(batch_size, LENGTH_S * SAMPLE_RATE, device=device)
    ref = torch.randn(batch_size, SOURCES, LENGTH_S * SAMPLE_RATE, device=device)
    step = make_step(network, optimizer, mix, ref, entry.precision == "bf16")
    step()
    step()
    pipe.send("ready")
    while pipe.recv() == "step":
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        pipe.send(time.perf_counter() - start)
    pipe.send(peak_memory_mib(device) - before)


def make_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, mix: Tensor, ref: Tensor, bf16: bool
) -> Callable[[], None]:
    """The training step that is timed; the same for all networks."""

    def step() -> None:
        optimizer.zero_grad()
        with autocast(mix.device, bf16):
            est = network(mix)
        length = min(est.shape[-1], ref.shape[-1])  # not all toolkits give back each sample
        loss = -pit(snr, est[..., :length].float(), ref[..., :length])[0].mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
        optimizer.step()

    return step


def itersep_network() -> nn.Module:
    """Ours: three SIMO blocks, one iteration."""
    filterbank, sizes = FilterbankSpec("learned", FILTERS, WINDOW, HOP), DPRNNSpec(FEATURES, HIDDEN, CHUNK)
    return IterativeSeparator(filterbank, SeparatorSpec(BLOCKS, 0), sources=SOURCES, dprnn=sizes)


def asteroid_network() -> nn.Module:
    """Asteroid's DPRNNTasNet."""
    from asteroid.models.dprnn_tasnet import DPRNNTasNet

    return DPRNNTasNet(
        n_src=SOURCES,
        bn_chan=FEATURES,
        hid_size=HIDDEN,
        chunk_size=CHUNK,
        n_repeats=BLOCKS,
        mask_act="relu",
        kernel_size=WINDOW,
        n_filters=FILTERS,
        stride=HOP,
        sample_rate=SAMPLE_RATE,
    )


class SpeechBrainNetwork(nn.Module):
    """SpeechBrain's Dual_Path_Model between its encoder and decoder, as its recipes put them together."""

    def __init__(self) -> None:
        super().__init__()
        from speechbrain.lobes.models.dual_path import Decoder, Dual_Path_Model, Encoder, SBRNNBlock

        self.encoder = Encoder(WINDOW, FILTERS)
        paths = [SBRNNBlock(FEATURES, HIDDEN, 1, "LSTM") for _ in range(2)]
        self.masknet = Dual_Path_Model(FILTERS, FEATURES, *paths, num_layers=BLOCKS, K=CHUNK, num_spks=SOURCES)
        self.decoder = Decoder(FILTERS, 1, WINDOW, stride=HOP, bias=False)

    def forward(self, mix: Tensor) -> Tensor:
        """(B, T) -> (B, C, T)."""
        encoded = self.encoder(mix)
        return torch.stack([self.decoder(encoded * mask) for mask in self.masknet(encoded)], dim=1)


class ESPnetNetwork(nn.Module):
    """ESPnet's DPRNN separator between its convolutional encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        from espnet2.enh.decoder.conv_decoder import ConvDecoder
        from espnet2.enh.encoder.conv_encoder import ConvEncoder
        from espnet2.enh.separator.dprnn_separator import DPRNNSeparator

        self.encoder = ConvEncoder(FEATURES, WINDOW, HOP)
        self.separator = DPRNNSeparator(FEATURES, layer=BLOCKS, unit=HIDDEN, segment_size=CHUNK, num_spk=SOURCES)
        self.decoder = ConvDecoder(FEATURES, WINDOW, HOP)

    def forward(self, mix: Tensor) -> Tensor:
        """(B, T) -> (B, C, T)."""
        lengths = torch.full((len(mix),), mix.shape[1])
        masked, *_ = self.separator(*self.encoder(mix, lengths))
        return torch.stack([self.decoder(part, lengths)[0] for part in masked], dim=1)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "itersep": itersep_network,
    "asteroid": asteroid_network,
    "speechbrain": SpeechBrainNetwork,
    "espnet": ESPnetNetwork,
}


def is_installed(name: str) -> bool:
    """Whether a toolkit is installed."""
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def print_table(
    results: dict[Entry, tuple[list[float], float]], networks: list[str], batch_size: int, threads: int, device: str
) -> None:
    """Medians, and ratios to ours: at the same precision, and in bf16 if the machine can."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", *networks))
    place = torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {threads} threads"
    print(f"{versions}; {place}; batches of {batch_size}; load {os.getloadavg()[0]:.1f} at the end\n")
    times = {entry: statistics.median(results[entry][0]) for entry in results}
    memory = {entry: results[entry][1] for entry in results}
    ours = {entry.precision: entry for entry in results if entry.network == "itersep"}
    best = ours.get("bf16", ours["fp32"])
    compared = f"to ours | to ours in {best.precision} | peak MiB | ours in {best.precision} of it"
    print(f"| network | precision | s a mixture | {compared} |")
    print("|---|---|---|---|---|---|---|")
    for entry in results:
        same = ours[entry.precision]
        print(
            f"| {entry.name} | {entry.precision} | {times[entry]:.3f} | {times[entry] / times[same]:.2f} | "
            f"{times[entry] / times[best]:.2f} | {memory[entry]:.0f} | {memory[best] / memory[entry]:.2f} |"
        )


if __name__ == "__main__":
    run_program(main)
