"""Scoring: what scores.csv and summary.json say of estimates whose quality is known."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from itersep.data.audio import read_audio, write_audio
from itersep.data.datadir import read_table, write_table
from itersep.report.experiment import read_experiments
from itersep.report.page import render_page
from itersep.report.results import render_results
from itersep.score.metrics import mean_interval
from itersep.score.scores import Score, find_jobs, read_scores, score_all, write_scores
from itersep.score.summary import improvements, summarize
from itersep.separate.folder import Separation, files_sha256, read_mixtures, start_folder
from itersep.simulate.manifest import Mixture, SpeakerDraw, manifest_text
from itersep.system.errors import UserError

RATE = 8000
Make = Callable[[str, int, np.ndarray, np.ndarray], np.ndarray]


def estimate(mixture_dir: Path, make: Make, iterations: int = 2, out: Path | None = None) -> Path:
    """A folder of estimates: ``make`` (mixture's name, iteration, mix (T,), ref (C, T)) -> est (C, T)."""
    out = out or mixture_dir.parent / "separated"
    mixtures = read_mixtures(mixture_dir)
    made_by = Separation("a model", files_sha256(mixtures), 2, iterations, RATE, "cpu")
    start_folder(out, made_by)
    for i in range(1, iterations + 1):
        tables: list[dict[str, Path]] = [{}, {}]
        for utt, path in mixtures.items():
            ref = np.stack([read_audio(mixture_dir / "audio" / f"spk{c}" / f"{utt}.wav", RATE) for c in (1, 2)])
            for c, est in enumerate(make(utt, i, read_audio(path, RATE), ref)):
                tables[c][utt] = out / f"iter{i}" / f"spk{c + 1}" / f"{utt}.wav"
                write_audio(tables[c][utt], est.astype(np.float32), RATE)
        for c, table in enumerate(tables, start=1):
            write_table(out / f"iter{i}" / f"spk{c}.scp", table)
    return out


def noisy(utt: str, iteration: int, mix: np.ndarray, ref: np.ndarray) -> np.ndarray:
    """References with less noise after each iteration, and another amount in each mixture."""
    noise = np.random.default_rng([*utt.encode(), iteration]).standard_normal(ref.shape)
    return ref + 0.02 * (1 + sum(utt.encode()) % 5) / iteration * noise


def score(mixture_dir: Path, make: Make, iterations: int = 2) -> list[Score]:
    return score_all(find_jobs(mixture_dir, estimate(mixture_dir, make, iterations)))


def test_the_mixture_as_estimate_gains_nothing(mixture_dir: Path) -> None:
    scores = score(mixture_dir, lambda utt, i, mix, ref: np.stack([mix, mix]))
    assert len(scores) == 5 * 2 * 3
    assert all(s.get("si_sdri_db") == 0 for s in scores if s.iteration)
    unprocessed = {(s.utt, s.speaker): s.get("sdr_db") for s in scores if s.iteration == 0}
    assert all(s.get("sdr_db") == unprocessed[s.utt, s.speaker] for s in scores)


def test_perfect_estimates_score_at_the_limit_of_16_bits(mixture_dir: Path) -> None:
    scores = score(mixture_dir, lambda utt, i, mix, ref: ref)
    assert min(s.get("si_sdr_db") for s in scores if s.iteration) > 90
    assert max(s.get("si_sdr_db") for s in scores if not s.iteration) < 20


def test_level_does_not_matter(mixture_dir: Path) -> None:
    loud = score(mixture_dir, noisy)
    soft = score(mixture_dir, lambda *given: 0.3 * noisy(*given))
    for a, b in zip(loud, soft, strict=True):
        assert (a.get("si_sdr_db"), a.get("sdr_db")) == pytest.approx((b.get("si_sdr_db"), b.get("sdr_db")), abs=0.02)


def test_scores_are_summed_up_in_bins_where_the_draws_are_known(program: Callable, mixture_dir: Path) -> None:
    out = estimate(mixture_dir, noisy)
    speakers = tuple(SpeakerDraw(f"s{c}", 0, (2.0, 1.0 + c, 1.5), 0.0) for c in (1, 2))
    room = {"sample_rate": RATE, "length": 4000, "room_m": (5.0, 5.0, 3.0), "t60_s": 0.3, "mic_m": (1.0, 1.0, 1.0)}
    drawn = [Mixture(utt, overlap=0.9, speakers=speakers, noise=None, peak_limit=0.9, **room)
             for utt in read_mixtures(mixture_dir)]  # fmt: skip
    (mixture_dir / "mixtures.jsonl").write_text(manifest_text(drawn))
    assert program("score.py", "--data", mixture_dir, "--separated", out).status == 0
    summary = json.loads((out / "summary.json").read_text())
    last = summary["bins"]["overlap"][-1]
    assert last["mixtures"] == summary["mixtures"] == 5
    for binned, whole in zip(last["iterations"], summary["iterations"], strict=True):
        assert binned["si_sdr_db"] == pytest.approx(whole["si_sdr_db"])


def test_swapped_estimates_score_the_same_and_the_permutation_is_kept(mixture_dir: Path) -> None:
    straight, swapped = score(mixture_dir, noisy), score(mixture_dir, lambda *given: noisy(*given)[::-1])
    for a, b in zip(straight, swapped, strict=True):
        assert a.values == b.values
        assert (a.estimate, b.estimate) == ((a.speaker, 3 - a.speaker) if a.iteration else (0, 0))


def test_speakers_that_change_places_are_counted(mixture_dir: Path) -> None:
    def make(utt: str, i: int, mix: np.ndarray, ref: np.ndarray) -> np.ndarray:
        return ref[::-1] if utt in ("m1", "m3") and i == 2 or utt == "m4" else ref

    rows = summarize(score(mixture_dir, make, iterations=3))["iterations"]
    assert [row["changed_rate"] for row in rows] == [None, None, 2 / 5, 2 / 5]


def test_the_csv_holds_all_that_the_summary_says(program: Callable, mixture_dir: Path) -> None:
    out = estimate(mixture_dir, noisy)
    assert program("score.py", "--data", mixture_dir, "--separated", out).status == 0
    summary, scores = json.loads((out / "summary.json").read_text()), read_scores(out / "scores.csv")
    recomputed = summarize(scores)
    for at in recomputed["listen"].values():
        files = [str(out / "iter2" / f"spk{c}" / f"{at['utt']}.wav") for c in (1, 2)]
        at |= {"mixture": read_mixtures(mixture_dir)[at["utt"]], "estimates": files}
    assert summary | recomputed == summary
    for row in summary["iterations"]:
        here = [s for s in scores if s.iteration == row["iteration"]]
        for metric in ("si_sdr_db", "sdr_db", *["si_sdri_db"] * bool(row["iteration"])):
            values = [np.mean([s.get(metric) for s in here if s.utt == utt]) for utt in read_mixtures(mixture_dir)]
            mean = mean_interval(values)
            assert row[metric] == {"mean": mean.mean, "low": mean.low, "high": mean.high}
            assert row[metric]["mean"] == pytest.approx(np.mean([s.get(metric) for s in here]))
    assert summary["iterations"][2]["si_sdr_db"]["mean"] > summary["iterations"][1]["si_sdr_db"]["mean"] + 3
    assert summary["mixtures"] == 5 and summary["speakers"] == 2


@pytest.mark.parametrize(("trained_for", "iteration"), [(1, 1), (2, 2), (3, 2), (None, 2)])
def test_best_median_and_worst_are_by_the_iteration_trained_for(
    mixture_dir: Path, trained_for: int | None, iteration: int
) -> None:
    scores = score(mixture_dir, noisy)
    gains = {utt: np.mean([s.get("si_sdri_db") for s in scores if s.utt == utt and s.iteration == iteration]) for utt in
             read_mixtures(mixture_dir)}  # fmt: skip
    ranked = sorted(gains, key=gains.get)
    listen = summarize(scores, trained_for)["listen"]
    assert {rank: at["utt"] for rank, at in listen.items()} == {
        "worst": ranked[0],
        "median": ranked[2],
        "best": ranked[4],
    }
    assert all(at["iteration"] == iteration for at in listen.values())


def test_the_iterations_that_the_model_was_trained_for_are_handed_on(program: Callable, mixture_dir: Path) -> None:
    out = estimate(mixture_dir, noisy)
    record = json.loads((out / "separation.json").read_text())
    (out / "separation.json").write_text(json.dumps(record | {"trained_for": 1}))
    assert program("score.py", "--data", mixture_dir, "--separated", out).status == 0
    for at in json.loads((out / "summary.json").read_text())["listen"].values():
        assert at["iteration"] == 1 and at["estimates"][1] == str(out / "iter1/spk2" / f"{at['utt']}.wav")


def test_again_it_does_nothing_until_an_estimate_changes(program: Callable, mixture_dir: Path) -> None:
    out = estimate(mixture_dir, noisy)
    options = ("--data", mixture_dir, "--separated", out)
    program("score.py", *options)
    before, changed = (out / "summary.json").stat().st_mtime_ns, out / "iter1" / "spk1" / "m0.wav"
    os.utime(changed)
    assert "done before" in program("score.py", *options).out
    assert (out / "summary.json").stat().st_mtime_ns == before
    packed = gzip.compress((out / "scores.csv").read_bytes())
    (out / "scores.csv").unlink()
    (out / "scores.csv.gz").write_bytes(packed)
    assert "done before" in program("score.py", *options).out
    write_audio(changed, -0.5 * read_audio(changed, RATE)[::-1], RATE)
    assert "done before" not in program("score.py", *options).out
    assert (out / "summary.json").stat().st_mtime_ns > before


def test_metrics_that_were_asked_for_stay_until_an_estimate_changes(program: Callable, mixture_dir: Path) -> None:
    pytest.importorskip("pystoi")
    out = estimate(mixture_dir, noisy)
    options = ("--data", mixture_dir, "--separated", out)
    program("score.py", *options)
    asked = program("score.py", *options, "--metrics", "[stoi]")
    assert asked.status == 0 and "done before" not in asked.out
    assert "done before" in program("score.py", *options).out
    summary = json.loads((out / "summary.json").read_text())
    assert "stoi" in summary["metrics"]
    reasons = {(one["metric"], one["reason"][:30]) for one in summary["undefined"]}  # the mixtures are half a second
    assert "stoi" in summary["iterations"][1] or reasons == {("stoi", "the reference has fewer than 3")}
    assert "'stoy' is not a metric" in program("score.py", *options, "--metrics", "[stoy]").err


def test_the_number_of_processes_changes_nothing(warm_workers: None, mixture_dir: Path) -> None:
    jobs = find_jobs(mixture_dir, estimate(mixture_dir, noisy))
    assert score_all(jobs, nj=2) == score_all(jobs, nj=1)


def silence(mixture_dir: Path, utt: str, alone: bool = False, level: float = 0.0) -> None:
    """Bring the second speaker of a mixture to ``level`` times what it was; ``alone``: in the mixture too."""
    paths = [mixture_dir / "audio" / name / f"{utt}.wav" for name in ("wav", "spk1", "spk2")]
    mix, first, second = (read_audio(path, RATE) for path in paths)
    write_audio(paths[2], level * second, RATE)
    write_audio(paths[0], first if alone else mix, RATE)


def leaking(utt: str, iteration: int, mix: np.ndarray, ref: np.ndarray) -> np.ndarray:
    """References, and a tenth of the first where the second is silent: 20 dB below it."""
    return noisy(utt, iteration, mix, ref) if ref[1].any() else np.stack([ref[0], 0.1 * ref[0]])


@pytest.mark.parametrize("alone", [False, True])
def test_a_mixture_with_a_silent_speaker_changes_no_mean(mixture_dir: Path, alone: bool) -> None:
    before = summarize([s for s in score(mixture_dir, leaking) if s.utt != "m2"])
    silence(mixture_dir, "m2", alone)
    scores = score(mixture_dir, leaking)
    after = summarize(scores)
    for one, other in zip(before["iterations"], after["iterations"], strict=True):
        assert one | {"left_out": 0} == other | {"left_out": 0}
    assert after["silent_references"] == ["m2 speaker 2"] and after["silent_estimates"] == []
    assert sorted(improvements(scores, 2)) == ["m0", "m1", "m3", "m4"]  # those that there are to hear


def test_what_a_silent_speakers_estimate_lets_through_is_its_leak(
    program: Callable, mixture_dir: Path, tmp_path: Path
) -> None:
    silence(mixture_dir, "m2")
    out = estimate(mixture_dir, leaking, out=tmp_path / "exp" / "small" / "test_2mix")
    told = program("score.py", "--data", mixture_dir, "--separated", out).out
    assert "silent references, left out with their mixtures: 1 (m2 speaker 2)" in told
    assert "1 mixtures with 1 of 2 speakers active:" in told and "leak -20.00 dB" in told
    (kind,) = json.loads((out / "summary.json").read_text())["with_silence"]
    assert (kind["active"], kind["mixtures"]) == (1, 1)
    assert [row["leak_db"]["mean"] for row in kind["iterations"]] == [None, *[pytest.approx(-20, abs=0.01)] * 2]
    assert all(row["si_sdr_db"]["mean"] > 50 for row in kind["iterations"][1:])  # of the active speaker
    assert "nan" not in (out / "scores.csv").read_text()
    records = read_experiments([str(out.parent)])
    page = render_results(records, "results", "report.py")
    assert "### test_2mix: mixtures with silent speakers" in page and "| small | 1 | 1 | 2 | " in page
    html = render_page(records, ["m2"])
    assert html.count('<span class="score">leak −20.0 dB</span>') == 2 and "<h3>Mixtures with silent speakers" in html


def test_a_speaker_who_is_the_mixture_has_nothing_to_improve(mixture_dir: Path) -> None:
    silence(mixture_dir, "m2", alone=True)
    lines = [s for s in score(mixture_dir, leaking) if s.utt == "m2"]
    first, second = ([s.values.keys() for s in lines if s.speaker == c] for c in (1, 2))
    assert first == [set(), {"si_sdr_db", "sdr_db"}, {"si_sdr_db", "sdr_db", "change_db"}]
    assert second == [set(), {"leak_db"}, {"leak_db", "change_db"}]


@pytest.mark.parametrize("level_db, active", [(-70, False), (-50, True)])
def test_a_reference_that_nobody_hears_is_silent(mixture_dir: Path, level_db: float, active: bool) -> None:
    silence(mixture_dir, "m2", level=10 ** (level_db / 20))
    lines = [s for s in score(mixture_dir, noisy) if (s.utt, s.speaker) == ("m2", 2)]
    assert [s.active for s in lines] == [active] * 3
    assert ["si_sdr_db" in s.values for s in lines] == [active] * 3


def test_a_mixture_without_any_speaker_has_no_score(mixture_dir: Path) -> None:
    for c in (1, 2):
        path = mixture_dir / "audio" / f"spk{c}" / "m2.wav"
        write_audio(path, np.zeros_like(read_audio(path, RATE)), RATE)
    (kind,) = summarize(score(mixture_dir, lambda utt, i, mix, ref: np.stack([mix, mix])))["with_silence"]
    assert (kind["active"], kind["mixtures"], kind["iterations"][2]["si_sdr_db"]["mean"]) == (0, 1, None)


def test_a_mixture_with_a_silent_estimate_is_left_out_where_it_is_silent(mixture_dir: Path) -> None:
    """Its other speaker's score alone would count for both: a network that puts out one speaker only would be good."""

    def make(utt: str, i: int, mix: np.ndarray, ref: np.ndarray) -> np.ndarray:
        return ref * np.array([[1], [i != 2 or utt != "m0"]])

    summary = summarize(score(mixture_dir, make))
    assert summary["silent_references"] == [] and summary["silent_estimates"] == ["m0 speaker 2 iteration 2"]
    assert [row["left_out"] for row in summary["iterations"]] == [0, 0, 1]
    assert [row["mixtures"] for row in summary["iterations"]] == [5, 5, 4]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    scores = [Score("a,b", 1, 0, 0, True, {"si_sdr_db": -0.4, "unheard_of": 0.125}), Score("c", 2, 1, 2, False, {})]
    write_scores(tmp_path / "scores.csv", scores)
    assert read_scores(tmp_path / "scores.csv") == scores
    (tmp_path / "kept").mkdir()
    packed = tmp_path / "kept/scores.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "scores.csv").read_bytes()))
    assert read_scores(tmp_path / "kept/scores.csv") == scores
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(UserError, match="scores.csv.gz: corrupt"):
        read_scores(tmp_path / "kept/scores.csv")
    with open(tmp_path / "scores.csv", "a") as file:
        file.write("c,2,2\n")
    with pytest.raises(UserError, match="scores.csv:4: is not a line of scores"):
        read_scores(tmp_path / "scores.csv")


def test_files_that_do_not_tell_who_is_active_are_read(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(
        "utt,speaker,iteration,estimate,si_sdr_db,si_sdri_db,sdr_db,change_db\n"
        "a,1,0,0,3.0,0.0,3.5,0.0\na,2,0,0,,,,0.0\na,1,1,2,,,,0.0\na,2,1,1,,,,0.0\n"
    )
    assert [s.active for s in read_scores(path)] == [True, False, True, False]
    assert read_scores(path)[0].values == {"si_sdr_db": 3.0, "si_sdri_db": 0.0, "sdr_db": 3.5, "change_db": 0.0}


def drop_line(mixture_dir: Path, out: Path) -> None:
    table = read_table(out / "iter2" / "spk1.scp")
    write_table(out / "iter2" / "spk1.scp", {utt: path for utt, path in table.items() if utt != "m3"})


def shorten(mixture_dir: Path, out: Path) -> None:
    path = out / "iter2" / "spk1" / "m3.wav"
    write_audio(path, read_audio(path, RATE)[:-1], RATE)


def remake_mixture(mixture_dir: Path, out: Path) -> None:
    path = mixture_dir / "audio" / "wav" / "m3.wav"
    write_audio(path, read_audio(path, RATE)[:-1], RATE)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_line, "iter2/spk1.scp: has no 'm3'"),
        (shorten, "iter2/spk1/m3.wav: has 3999 samples where its mixture has 4000"),
        (remake_mixture, "separated: is not of the mixtures"),
        (lambda data, out: (out / "iter1" / "spk2" / "m0.wav").unlink(), "iter1/spk2/m0.wav: no such file"),
        (lambda data, out: (out / "iter1" / "spk2" / "m0.wav").write_text("x"), "iter1/spk2/m0.wav: cannot be read"),
        (lambda data, out: (data / "spk2.scp").unlink(), "mixtures: has references of 1 speakers"),
        (lambda data, out: (out / "separation.json").unlink(), "separation.json: missing"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_written(
    program: Callable, mixture_dir: Path, spoil: Callable[[Path, Path], None], message: str
) -> None:
    out = estimate(mixture_dir, noisy)
    spoil(mixture_dir, out)
    ended = program("score.py", "--data", mixture_dir, "--separated", out)
    assert ended.status == 2
    assert message in ended.err.splitlines()[-1]
    assert not (out / "scores.csv").exists() and not (out / "summary.json").exists()


def test_the_results_page_shows_the_scores(program: Callable, mixture_dir: Path, tmp_path: Path) -> None:
    out = estimate(mixture_dir, noisy, out=tmp_path / "exp" / "small" / "test_2mix")
    program("score.py", "--data", mixture_dir, "--separated", out)
    page = tmp_path / "made" / "RESULTS.md"
    ended = program("report.py", tmp_path / "exp" / "small", "--out", page)
    assert ended.status == 0, ended.err
    for row in json.loads((out / "summary.json").read_text())["iterations"]:
        si_sdr = row["si_sdr_db"]
        assert f"| {row['iteration']} | {si_sdr['mean']:.2f} [{si_sdr['low']:.2f}, {si_sdr['high']:.2f}] |" in (
            page.read_text()
        )
    assert (page.parent / "results" / "test_2mix_sisdr_over_iterations.png").exists()
    assert program("report.py", tmp_path / "exp" / "small", "--out", page, "--fast").status == 2
