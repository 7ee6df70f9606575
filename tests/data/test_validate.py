"""utils/validate_data_dir.py: every kind of fault is found, with its file and line, and nothing else is."""

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from itersep.data.audio import read_audio, to_pcm, write_audio
from itersep.data.datadir import read_table
from itersep.data.validate import validate_data_dir
from itersep.simulate.folder import render_set
from itersep.simulate.mixture import SimulationSpec, draw_mixture, load_clips
from tests.runs import ROOT

RATE = 8000


@pytest.fixture
def data_dir(speech_dir, noise_dir, tmp_path) -> Path:
    """Three simulated mixtures, s-000000 to s-000002, of half a second at 8 kHz."""
    spec = SimulationSpec(sample_rate=RATE, length_s=0.5, t60_s=(0.1, 0.15))
    speech, noise = load_clips(speech_dir, RATE), load_clips(noise_dir, RATE)
    mixtures = [draw_mixture(spec, speech, noise, seed=0, set_name="s", index=index) for index in range(3)]
    render_set(tmp_path / "s", mixtures, speech, noise)
    return tmp_path / "s"


def rewrite(path: Path, change) -> None:
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))


def audio(data_dir: Path, name: str, index: int) -> str:
    return list(read_table(data_dir / name).values())[index]


def test_simulated_and_plain_directories_are_well(data_dir, speech_dir):
    check = validate_data_dir(data_dir)
    assert (check.faults, check.utterances, check.seconds) == ([], 3, 1.5)
    check = validate_data_dir(speech_dir, RATE)
    assert (check.faults, check.utterances, check.seconds) == ([], 6, 9.0)


@pytest.mark.parametrize("name", ["wav.scp", "spk2.scp", "utt2spk", "spk2utt", "utt2dur", "utt2gain"])
@pytest.mark.parametrize(
    "change, fault",
    [
        (lambda lines: lines[::-1], "{name}:2: 's-000001' comes after 's-000002'"),
        (lambda lines: [*lines, lines[-1]], "{name}:4: 's-000002' appears twice"),
        (lambda lines: [lines[0], "s-000001", lines[2]], "{name}:2: expected 'key value'"),
    ],
)
def test_faults_of_tables_are_found(data_dir, name, change, fault):
    rewrite(data_dir / name, change)
    assert validate_data_dir(data_dir).faults[0].startswith(f"{data_dir}/{fault.format(name=name)}")


@pytest.mark.parametrize("name", ["spk2.scp", "noise1.scp", "utt2spk", "utt2dur", "utt2gain"])
def test_tables_must_agree_on_their_keys(data_dir, name):
    rewrite(data_dir / name, lambda lines: lines[:2])
    assert f"{data_dir}/wav.scp:3: 's-000002' is not in {name}; make both again" in validate_data_dir(data_dir).faults
    rewrite(data_dir / name, lambda lines: [*lines, lines[-1].replace("s-000001", "t"), "u 1"])
    assert f"{data_dir}/{name}:3: 't' is not in wav.scp; make both again" in validate_data_dir(data_dir).faults


def test_speakers_must_agree(data_dir):
    rewrite(data_dir / "spk2utt", lambda lines: [lines[0], "s-000001 s-000002", lines[2]])
    faults = validate_data_dir(data_dir).faults
    assert [fault.split(";")[0] for fault in faults] == [
        f"{data_dir}/spk2utt:2: 's-000002' is not of 's-000001' in utt2spk",
        f"{data_dir}/utt2spk:2: 's-000001' is not under 's-000001' in spk2utt",
    ]


def spoil_missing(path: str) -> str:
    Path(path).unlink()
    return "no such file"


def spoil_content(path: str) -> str:
    Path(path).write_bytes(b"not audio")
    return "cannot be read as audio"


def spoil_rate(path: str) -> str:
    write_audio(path, read_audio(path, RATE), 16000)
    return "sample rate is 16000 Hz where 8000 Hz is expected"


def spoil_channels(path: str) -> str:
    soundfile.write(path, np.zeros((4000, 2)), RATE)
    return "has 2 channels"


def spoil_length(path: str) -> str:
    write_audio(path, read_audio(path, RATE)[:-1], RATE)
    return "has 3999 samples where wav.scp's has 4000"


def spoil_all_samples(path: str) -> str:
    write_audio(path, np.zeros(0, dtype=np.float32), RATE)
    return "holds no samples"


@pytest.mark.parametrize(
    "spoil", [spoil_missing, spoil_content, spoil_rate, spoil_channels, spoil_length, spoil_all_samples]
)
def test_first_file_with_a_fault_is_named(data_dir, spoil):
    paths = [audio(data_dir, "spk1.scp", index) for index in (1, 2)]
    faults = [spoil(path) for path in paths]
    found = validate_data_dir(data_dir).faults
    assert any(fault.startswith(f"{data_dir}/spk1.scp:2: {paths[0]}: {faults[0]}") for fault in found)
    assert not any(paths[1] in fault for fault in found)  # one of each kind


def test_a_file_that_tells_no_rate_is_named(data_dir):
    raw = data_dir / "x.raw"
    raw.write_bytes(to_pcm(read_audio(audio(data_dir, "spk1.scp", 1), RATE)).tobytes())
    rewrite(data_dir / "spk1.scp", lambda lines: [lines[0], f"s-000001 {raw}", lines[2]])
    (fault,) = validate_data_dir(data_dir).faults
    assert fault.startswith(f"{data_dir}/spk1.scp:2: {raw}: cannot be read as audio")


def test_rate_can_be_asked_for(data_dir):
    found = validate_data_dir(data_dir, 16000).faults
    assert len(found) == 1 and "sample rate is 8000 Hz where 16000 Hz is expected" in found[0]


@pytest.mark.parametrize("text", ["0.52", "a", "nan"])
def test_durations_must_be_those_of_the_audio(data_dir, text):
    rewrite(data_dir / "utt2dur", lambda lines: [lines[0], f"s-000001 {text}", lines[2]])
    found = validate_data_dir(data_dir).faults
    assert found == [f"{data_dir}/utt2dur:2: 's-000001' has '{text}' where the audio has 0.5000 s"]


def spoil_voice(path: str) -> None:
    write_audio(path, np.zeros_like(read_audio(path, RATE)), RATE)


@pytest.mark.parametrize("name", ["wav.scp", "spk1.scp", "spk2.scp"])
def test_speakers_that_are_silent_throughout_are_faults(data_dir: Path, name: str) -> None:
    path = audio(data_dir, name, 1)
    spoil_voice(path)
    (data_dir / "noise1.scp").unlink()  # so that nothing need be a sum
    (fault,) = validate_data_dir(data_dir).faults
    assert fault.startswith(f"{data_dir}/{name}:2: {path}: is silent throughout")
    assert validate_data_dir(data_dir, allow_silent=True).faults == []


def test_one_sample_is_not_silence_and_noise_may_be(data_dir: Path) -> None:
    (data_dir / "wav.scp").write_text((data_dir / "spk1.scp").read_text())  # the only speaker is the mixture
    (data_dir / "spk2.scp").unlink()
    for index in range(3):
        spoil_voice(audio(data_dir, "noise1.scp", index))
    write_audio(audio(data_dir, "spk1.scp", 1), np.append(np.zeros(3999, np.float32), np.float32(1 / 32768)), RATE)
    assert validate_data_dir(data_dir).faults == []


def spoil_sample(path: str) -> None:
    samples = read_audio(path, RATE)
    samples[100] += 3 / 32768
    write_audio(path, samples, RATE)


@pytest.mark.parametrize("name", ["wav.scp", "spk1.scp", "noise1.scp"])
def test_sum_must_hold(data_dir, name):
    spoil_sample(audio(data_dir, name, 1))
    (fault,) = validate_data_dir(data_dir).faults
    assert fault.startswith(f"{data_dir}/wav.scp:2: 's-000001' differs from noise1 + spk1 + spk2 by 9.2e-05")
    (data_dir / "noise1.scp").unlink()  # parts may be missing
    assert validate_data_dir(data_dir).faults == []


def test_sums_are_checked_from_the_first_mixture_to_the_last(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itersep.data.validate.SUMS_CHECKED", 2)
    spoil_sample(audio(data_dir, "wav.scp", 2))
    (fault,) = validate_data_dir(data_dir).faults
    assert fault.startswith(f"{data_dir}/wav.scp:3: 's-000002' differs from noise1 + spk1 + spk2")


def test_faults_of_several_kinds_are_all_named(data_dir):
    spoil_missing(audio(data_dir, "wav.scp", 0))
    spoil_content(audio(data_dir, "spk2.scp", 1))
    rewrite(data_dir / "utt2dur", lambda lines: [*lines[:2], "s-000002 9"])
    (data_dir / "spk2utt").unlink()
    starts = ["spk2utt: no such file", "wav.scp:1: ", "spk2.scp:2: ", "utt2dur:3: "]
    found = validate_data_dir(data_dir).faults
    assert len(found) == 4
    for fault, expected in zip(found, starts, strict=True):
        assert fault.startswith(f"{data_dir}/{expected}")


def test_program_tells_by_lines_and_status(data_dir, speech_dir, program):
    assert program("validate_data_dir.py", data_dir, speech_dir) == (
        0, f"{data_dir}: ok, 3 utterances, 1.50 seconds\n{speech_dir}: ok, 6 utterances, 9.00 seconds\n", ""
    )  # fmt: skip
    shutil.rmtree(data_dir / "audio" / "spk1")
    status, out, err = program("validate_data_dir.py", data_dir, speech_dir)
    assert status == 2 and out.count("\n") == 1
    assert err.splitlines()[0].startswith(f"{data_dir}/spk1.scp:1: ")
    assert err.splitlines()[1] == "validate_data_dir.py: 1 of 2 data directories have faults, named above"
    status, out, err = program("validate_data_dir.py")
    assert status == 2 and "data_dirs" in err


@pytest.mark.parametrize(
    "seconds, said",
    [(0, "0.00 seconds"), (59.5, "59.50 seconds"), (60, "1.00 minutes"), (1800, "30.00 minutes"), (5400, "1.50 hours")],
)
def test_a_length_is_said_in_a_unit_that_it_has_one_of(seconds, said):
    program = runpy.run_path(str(ROOT / "utils" / "validate_data_dir.py"))
    assert program["say_length"](seconds) == said
