"""itersep-separate: the speakers of any recording, each in a file of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from jsonargparse.typing import PositiveFloat, PositiveInt
from tqdm import tqdm

from itersep.data.audio import Subtype, kept_subtype
from itersep.separate.estimates import JOURNAL, Notes, write_estimates
from itersep.separate.folder import model_sha256
from itersep.separate.recordings import Recording, find_recordings, read_blocks
from itersep.separate.waves import Separator, load
from itersep.separate.windows import WindowSpec
from itersep.system.cli import command_line, guard, make_parser, parse
from itersep.system.errors import Failures, UserError

Group = Any  # argparse has no public name for it


def main() -> None:
    """Parse the command line, separate, and exit: 0 done, 1 a failure of the machine or of some files, 2 a mistake."""
    guard(lambda: separate_recordings(_parse()))


def separate_recordings(options: Namespace) -> None:
    """Separate all that was asked for and is not done; says what was written.

    Raises Failures where some of it cannot be read or separated, after all that can be.
    """
    _check_subtype(options)
    out_dir = Path(options.out)
    recordings, bad, passed_over = find_recordings(options.inputs, out_dir, options.channel)
    asked = len(recordings) + len(bad)
    if not recordings:
        raise Failures(bad, asked)
    model, iterations = _load_model(options)
    notes, how = Notes(out_dir), _describe(model, iterations, options)
    hows = {r.name: how | {"subtype": options.subtype or kept_subtype(r.subtype, options.format)} for r in recordings}
    targets = {
        r.name: [out_dir / f"{r.name}_spk{c}.{options.format}" for c in range(1, model.sources + 1)] for r in recordings
    }
    _spare_recordings(recordings, targets)
    todo = [r for r in recordings if not notes.has(r, hows[r.name], targets[r.name], options.overwrite)]
    scaled = 0
    total_s = sum((r.expected or 0) / r.sample_rate for r in todo)
    form = "{l_bar}{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}]"
    with tqdm(total=total_s, desc="separating", bar_format=form, disable=None) as progress:
        for recording in todo:
            made = {"model": options.model or "that of the package", **recording.identity(), **hows[recording.name]}
            try:
                result = _separate_one(model, recording, made, targets[recording.name], progress)
            except UserError as error:
                bad.append(str(error) if str(recording.path) in str(error) else f"{recording.path}: {error}")
                continue
            notes.add(recording, made | result | {"command": command_line()}, targets[recording.name])
            scaled += result["gain"] < 1
            took = f", {result['iterations_used']:g} iterations" if options.until_change_db is not None else ""
            progress.write(f"{recording.path} -> {' '.join(map(str, targets[recording.name]))}{took}")
    finer = sum(hows[r.name]["subtype"] != (options.subtype or kept_subtype(r.subtype)) for r in todo)
    _print_counts(out_dir, len(recordings), before=len(recordings) - len(todo), scaled=scaled, finer=finer)
    for line in passed_over:
        print(line)
    if bad:
        raise Failures(bad, asked)


def _print_counts(out_dir: Path, asked: int, *, before: int, scaled: int, finer: int) -> None:
    """Print how many recordings were done before, scaled, or lost bits."""
    for count, what in (
        (before, f"of {asked} recordings were done before"),
        (scaled, f"recordings have estimates that would have clipped and were scaled; see {out_dir / JOURNAL}"),
        (finer, "recordings have more bits than flac's 24; --format wav keeps them"),
    ):
        if count:
            print(f"{out_dir}: {count} {what}")


def _check_subtype(options: Namespace) -> None:
    """Raise UserError where files of the format cannot have the subtype."""
    if options.format == "flac" and options.subtype in ("PCM_32", "FLOAT"):
        raise UserError(
            f"--subtype {options.subtype}: flac holds 24 bits at most; choose PCM_24 or PCM_16, or --format wav"
        )


def _describe(model: Separator, iterations: int, options: Namespace) -> dict[str, object]:
    """What makes estimates what they are, besides the recording: were any of it another, they would be others."""
    return {
        "model_sha256": model_sha256(model.network, model.config["model"]),
        "iterations": iterations,
        "until_change_db": options.until_change_db,
        "window_s": model.windows.length_s,
        "overlap_s": model.windows.overlap_s,
    }


def _load_model(options: Namespace) -> tuple[Separator, int]:
    """The model, with its windows, and the largest number of iterations. Raises UserError that names the options."""
    try:
        windows = WindowSpec(options.window, options.overlap)
    except ValueError as error:
        raise UserError(f"--window, --overlap: {error}") from None
    model = load(options.model, options.device, windows)
    try:
        return model, model.count_iterations(options.iterations, options.until_change_db)
    except ValueError as error:
        raise UserError(f"--until-change-db, --iterations: {error}") from None


def _spare_recordings(recordings: Sequence[Recording], targets: Mapping[str, Sequence[Path]]) -> None:
    """Raise UserError where estimates would be written over a recording that is to be separated."""
    given = {recording.path.resolve() for recording in recordings}
    for name, files in targets.items():
        for file in files:
            if file.resolve() in given:
                raise UserError(
                    f"{file}: is to be separated itself, and would be written over by the estimates of {name}; "
                    "choose another --out"
                )


def _separate_one(
    model: Separator, recording: Recording, how: dict, paths: list[Path], progress: tqdm
) -> dict[str, object]:
    """Separate one recording into ``paths``; the factor that they were scaled by, and mean iterations of a window."""
    used, remarks = [], []
    blocks = read_blocks(recording, remarks.append)
    stream = model.stream(blocks, recording.sample_rate, how["iterations"], how["until_change_db"])

    def estimates():
        for piece in stream:
            used.append(piece.iterations)
            yield piece.est
            seconds = piece.est.shape[1] / recording.sample_rate
            progress.total = max(progress.total, progress.n + seconds)  # headers may say less
            progress.update(seconds)

    gain = write_estimates(estimates(), paths, recording.sample_rate, how["subtype"])
    for remark in remarks:
        progress.write(f"{recording.path}: {remark}")
    return {"gain": gain, "iterations_used": round(sum(used) / len(used), 3)}


def _parse() -> Namespace:
    parser = make_parser(
        "Separate the speakers of recordings: OUT/<name>_spk1.wav, <name>_spk2.wav, ... of the recording's rate and "
        "length, in as many bits; of several channels, OUT/<name>_ch1_spk1.wav, ... What was done by the same command "
        f"before is not done again. OUT/{JOURNAL} says how each file was made."
    )
    parser.add_argument("inputs", nargs="+", help="audio files, folders of them, Kaldi tables (.scp); - reads a pipe")
    _add_output_options(parser.add_argument_group("what is written"))
    _add_model_options(parser.add_argument_group("how it is separated"))
    return parse(parser)


def _add_output_options(group: Group) -> None:
    group.add_argument("--out", required=True, help="folder for the estimates")
    group.add_argument("--format", type=Literal["wav", "flac"], default="wav", help="of the estimates")
    group.add_argument(
        "--subtype",
        type=Subtype | None,
        help="of the estimates' samples; without, as many bits as the recording has (flac: 24 at most)",
    )
    group.add_argument(
        "--channel",
        type=PositiveInt | Literal["all"] | None,
        help="the one to separate, from 1, where there are several; all: each of them",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="replace estimates in OUT that were made by another model, with other options, or from another recording; "
        "without, they are named and nothing is written",
    )


def _add_model_options(group: Group) -> None:
    group.add_argument(
        "--model",
        type=str | None,
        help="experiment folder, checkpoint, folder of a published model, or its name on the Hugging Face Hub; "
        "without, the model that comes with the package",
    )
    group.add_argument("--iterations", type=PositiveInt | None, help="at most; without, as many as trained for")
    group.add_argument(
        "--until-change-db",
        type=float | None,
        help="end the iterations of a window where one changes the estimates by less than this, relative to them, such "
        "as -20; needs three iterations or more",
    )
    group.add_argument("--window", type=PositiveFloat, default=WindowSpec.length_s, help="seconds separated at a time")
    group.add_argument(
        "--overlap", type=PositiveFloat | None, help="seconds that two windows share; without, half of a window"
    )
    group.add_argument("--device", type=Literal["auto", "cpu", "cuda"], default="auto", help="where the model runs")


if __name__ == "__main__":
    main()
