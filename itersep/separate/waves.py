"""A trained model as a tool: any sample rate, any length, and an end to the iterations where they change nothing."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from itersep.data.audiofile import as_float
from itersep.models.iterative import IterativeSeparator
from itersep.models.sound import find_gain
from itersep.separate.pauses import Pauses, hear
from itersep.separate.resample import rate_ratio, resample
from itersep.separate.stopping import EARLIEST_END, iterate_until
from itersep.separate.windows import Stitcher, WindowSpec, cut_windows
from itersep.system.errors import UserError
from itersep.train.checkpoint import load_model
from itersep.train.runtime import choose_device

PRETRAINED = Path(__file__).parent.parent / "pretrained"  # the model that comes with the package: a folder in there

Wave = TypeVar("Wave", np.ndarray, Tensor)


class Piece(NamedTuple):
    """The estimates (C, T) of a part of a recording, and the iterations that its window took; 0 for a pause."""

    est: np.ndarray
    iterations: int


def load(path: str | Path | None = None, device: str = "auto", windows: WindowSpec = WindowSpec()) -> "Separator":  # noqa: B008 - frozen
    """A trained model, ready to separate.

    Args:
        path: experiment folder, checkpoint file, folder that `save_pretrained` wrote, or the name of a model on the
            Hugging Face Hub (user/name); None: the model that comes with the package
        device: cpu, cuda, or auto (cuda where there is one)
        windows: how long recordings are cut

    Raises UserError that names what is missing, broken, or does not fit this version.
    """
    origin = Path(path) if path is not None else packaged_model()
    if origin.exists():
        network, config = load_network(origin)
    elif _is_hub_name(str(path)):
        from itersep.share.hub import load_pretrained

        network, config = load_pretrained(str(path))
    else:
        raise UserError(f"{path}: no such folder; name an experiment, a checkpoint, or a model on the Hub as user/name")
    return Separator(network.to(choose_device(device)), config, windows)


def packaged_model() -> Path:
    """The folder of the model that comes with the package. Raises UserError where there is none."""
    folders = sorted(path.parent for path in PRETRAINED.glob("*/config.json"))
    if not folders:
        raise UserError("no trained model comes with this installation; name one with --model, or train one")
    return folders[0]


class Separator:
    """A trained network and how to use it on recordings.

    Args:
        network: on its device, in evaluation mode
        config: the configuration of its experiment
        windows: how long recordings are cut
    """

    def __init__(self, network: IterativeSeparator, config: dict[str, Any], windows: WindowSpec = WindowSpec()) -> None:  # noqa: B008 - frozen
        self.network, self.config, self.windows = network, config, windows
        self.sample_rate: int = network.sample_rate
        self.sources, self.iterations = network.sources, network.iterations

    def separate(
        self, wave: Wave, sample_rate: int, iterations: int | None = None, until_change_db: float | None = None
    ) -> Wave:
        """Estimates (C, T), float32, of a recording (T,): an array for an array, a tensor for a tensor.

        Args:
            wave: samples of one channel, at any level: floats as they are, integers by the range of their type (int16
                / 32768, int32 / 2**31, (uint8 - 128) / 128)
            sample_rate: theirs, in hertz; the estimates have it too, with nothing above half the model's rate
            iterations: separate this many times, at least once; None: as many as the model was trained for
            until_change_db: or fewer: end a window's iterations where `change_db` falls below this, which must be
                below 0; takes 3 iterations or more

        Raises ValueError where ``wave`` is not a signal, or of a type that samples do not have (complex, bool, int64),
        or an option makes no sense, and UserError where the wave or the model's estimates are not finite.
        """
        samples = as_float(_as_array(wave))
        if samples.ndim != 1 or len(samples) == 0:
            raise ValueError(f"expected the samples of one channel, (T,), not an array of shape {samples.shape}")
        pieces = self.stream([samples], sample_rate, iterations, until_change_db)
        est = np.concatenate([piece.est for piece in pieces], axis=1)
        return torch.from_numpy(est).to(wave.device) if isinstance(wave, Tensor) else est

    def stream(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate: int,
        iterations: int | None = None,
        until_change_db: float | None = None,
    ) -> Iterator[Piece]:
        """`separate` for a recording that comes in blocks (n,) of any size: estimates as they are done.

        No more than a few windows and a minute and a half are held, however long the recording.
        """
        if not 1 <= sample_rate == int(sample_rate):
            raise ValueError(f"the sample rate must be a whole number of hertz, not {sample_rate}")
        iterations = self.count_iterations(iterations, until_change_db)
        return self._stream(map(as_float, blocks), int(sample_rate), iterations, until_change_db)

    def count_iterations(self, iterations: int | None = None, until_change_db: float | None = None) -> int:
        """The number of iterations that `separate` takes its options for.

        Raises ValueError for less than one, and for a change to end at that cannot end them.
        """
        iterations = self.iterations if iterations is None else iterations
        if iterations < 1:
            raise ValueError(f"iterations must be at least 1, not {iterations}; None is as many as trained for")
        if until_change_db is not None and not until_change_db < 0:  # nor is NaN
            raise ValueError(f"the change to end at must be below 0 dB, such as -20, not {until_change_db:g}")
        if until_change_db is not None and iterations < EARLIEST_END + 1:
            raise ValueError(
                f"a change can end the iterations after {EARLIEST_END} at the earliest, and there are no more than "
                f"{iterations}; ask for {EARLIEST_END + 1} or more"
            )
        return iterations

    def _stream(
        self, blocks: Iterable[np.ndarray], sample_rate: int, iterations: int, until_change_db: float | None
    ) -> Iterator[Piece]:
        length, overlap = self.windows.samples(sample_rate)
        stitcher, pauses = Stitcher(overlap, sample_rate), Pauses(self.sources)
        for window, last in cut_windows(pauses.cut(hear(blocks, sample_rate)), length, overlap):
            est, used = torch.zeros(self.sources, 0), 0
            if len(window):
                est, used = self._separate_window(window, sample_rate, iterations, until_change_db)
            yield Piece(pauses.fill(stitcher.join(est, last).numpy(), last), used)

    @torch.inference_mode()
    def _separate_window(
        self, window: np.ndarray, sample_rate: int, iterations: int, until_change_db: float | None
    ) -> tuple[Tensor, int]:
        up, down = rate_ratio(sample_rate, self.sample_rate)
        gain = float(find_gain(torch.from_numpy(window)))
        mix = torch.from_numpy(resample(window[None] * gain, up, down))
        device = next(self.network.parameters()).device
        est, used = iterate_until(self.network, mix.to(device), iterations, until_change_db)
        est = torch.from_numpy(resample(est[0].float().cpu().numpy(), down, up))[:, : len(window)] / gain
        if not torch.isfinite(est).all():
            raise UserError("the model's estimates are not finite numbers; train it again, or name another")
        return est, used


def _as_array(wave: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(wave, Tensor):
        wave = wave.detach().cpu()
        return (wave.float() if wave.is_floating_point() else wave).numpy()  # numpy has no bfloat16
    return np.asarray(wave)


def load_network(origin: Path) -> tuple[IterativeSeparator, dict[str, Any]]:
    """The network, in evaluation mode, and configuration of an experiment, a checkpoint or a published folder here."""
    if origin.is_file() or (origin / "best.pt").exists():
        return load_model(origin)
    from itersep.share.hub import is_pretrained, load_pretrained  # loads huggingface_hub, which takes a while

    return load_pretrained(origin) if is_pretrained(origin) else load_model(origin)


def _is_hub_name(name: str) -> bool:
    """Whether what is not there may be user/name of the Hub: exp is where experiments are, and ./ is here."""
    first, *more = name.split("/")
    return len(more) == 1 and first not in ("", ".", "..", "exp")
