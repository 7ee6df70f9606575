"""The page to look at and listen to: whole in one file, with the right audio at levels that do not mislead."""

import base64
import io
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from itersep.data.audio import read_audio, write_audio
from itersep.data.datadir import read_table
from itersep.report.experiment import read_experiments
from itersep.report.listen import collect_examples
from itersep.report.page import render_page, write_pages
from itersep.report.tables import score_table
from itersep.system.errors import UserError

Writer = Callable[..., list[Path]]


class Page(HTMLParser):
    """What a browser would make of a page: its elements with their attributes and text, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[int] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes), []))
        if tag not in ("meta", "link", "input", "wbr"):
            self.open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes), []))

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self.open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for index in self.open:
            self.elements[index][2].append(data)

    def find(self, tag: str, **wanted: str) -> Iterator[tuple[dict[str, str | None], str]]:
        for name, attributes, text in self.elements:
            if name == tag and all(attributes.get(key.rstrip("_")) == value for key, value in wanted.items()):
                yield attributes, "".join(text)


@pytest.fixture(scope="module")
def audible(tmp_path_factory: pytest.TempPathFactory, write_audible: Writer) -> list[str]:
    """Two scored experiments with audio; not to be changed."""
    return list(map(str, write_audible(tmp_path_factory.mktemp("audible"), ("small", "large"))))


def render(folders: list[str], *named: str) -> Page:
    return Page(render_page(read_experiments(folders), named))


def tracks(page: Page) -> list[dict[str, Any]]:
    """The attributes of every track, with the mixture's name and the samples that are played."""
    found, utt = [], ""
    attributes: dict[str, Any] = {}
    for tag, own, text in page.elements:
        if own.get("class") == "utt":
            utt = "".join(text)
        if own.get("class") == "track":
            attributes = {key.removeprefix("data-"): value for key, value in own.items()}
        if tag == "script" and own.get("type") == "text/plain":
            samples, rate = soundfile.read(io.BytesIO(base64.b64decode("".join(text), validate=True)))
            found.append(attributes | {"utt": utt, "samples": samples, "rate": rate})
    return found


def pick(page: Page, utt: str, **wanted: object) -> list[np.ndarray]:
    return [t["samples"] for t in tracks(page) if t["utt"] == utt and all(t[k] == str(v) for k, v in wanted.items())]


def gain(played: np.ndarray, file: np.ndarray) -> float:
    """The factor between what is played and a file; nothing else may lie between them."""
    factor = float(played @ file / (file @ file))
    assert np.abs(played - factor * file).max() < 2**-15
    return factor


def test_nothing_is_fetched(audible: list[str]) -> None:
    html = render_page(read_experiments(audible))
    for _, attributes, _ in Page(html).elements:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "srcset", "poster", "data"):
                assert value and value.startswith(("#", "data:")), (name, value)
    assert not re.search(r"https?://|@import|\bfetch\(|XMLHttpRequest|url\((?!#)", html)


def test_ids_are_unique_and_what_refers_to_one_finds_it(audible: list[str]) -> None:
    html = render_page(read_experiments(audible))
    ids = [attributes["id"] for _, attributes, _ in Page(html).elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)|aria-labelledby="([^"]*)"', html)
    assert {next(filter(None, groups)) for groups in named} <= set(ids)


def test_equal_files_make_equal_pages(audible: list[str]) -> None:
    assert render_page(read_experiments(audible)) == render_page(read_experiments(audible))


def test_tables_hold_the_numbers_of_the_results(audible: list[str]) -> None:
    records = read_experiments(audible)
    text = " ".join(" ".join(text for _, text in render(audible).find("table")).split()).replace("−", "-")
    for row in score_table([(record.name, record.sets[0]) for record in records]).rows:
        assert " ".join(row) in text


def test_the_best_the_median_the_worst_and_those_named_are_heard(audible: list[str]) -> None:
    for folders in (audible[:1], audible):
        assert [text for _, text in render(folders).find("span", class_="rank")] == ["best", "median", "worst"]
        assert [text for _, text in render(folders).find("span", class_="utt")] == ["m0", "m2", "m3"]
    assert [text for _, text in render(audible, "m1", "m3").find("span", class_="utt")] == ["m0", "m2", "m3", "m1"]


def test_a_mixture_that_one_experiment_has_no_score_of_is_not_ranked(tmp_path: Path, write_audible: Writer) -> None:
    folders = write_audible(tmp_path, ("small", "large"))
    path = folders[1] / "test_2mix" / "scores.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("m0,")))
    page = render(list(map(str, folders)))
    assert [text for _, text in page.find("span", class_="utt")] == ["m1", "m2", "m3"]


def test_a_name_that_was_not_scored_is_refused(audible: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--mixture: no experiment was scored on 'm9'"):
        write_pages(read_experiments(audible), tmp_path / "RESULTS.md", ["m1", "m9"])
    assert not (Path(audible[0]) / "report").exists()


def test_estimates_stand_with_the_reference_that_they_are_of(audible: list[str], tones: Callable[..., int]) -> None:
    page = render(audible)
    for track in tracks(page):
        spectrum = np.abs(np.fft.rfft(track["samples"]))
        heard_hz = spectrum.argmax() * track["rate"] / len(track["samples"])
        experiment = ["small", "large"].index(track["experiment"]) if track["kind"] == "est" else 0
        assert heard_hz == tones(track["kind"], int(track["speaker"]), int(track["iteration"]), experiment)
    assert len(tracks(page)) == 3 * (1 + 2 + 2 * 3 * 2)


def test_mixture_and_references_share_a_gain_and_all_estimates_another(audible: list[str]) -> None:
    page, folder = render(audible[:1]), Path(audible[0])
    for utt in ("m0", "m2", "m3"):
        files = [folder.parents[1] / f"data/audio/{name}/{utt}.wav" for name in ("wav", "spk1", "spk2")]
        given = [read_audio(file, 8000) for file in files]
        gains = list(map(gain, pick(page, utt, kind="mix") + pick(page, utt, kind="ref"), given))
        assert gains == pytest.approx([gains[0]] * 3, rel=1e-3)
        ref, gains = pick(page, utt, kind="ref"), []
        for i in (1, 2):
            est = pick(page, utt, kind="est", iteration=i)
            assert sum(e @ e for e in est) == pytest.approx(sum(r @ r for r in ref), rel=0.01)
            order = (1, 2) if i == 1 else (2, 1)  # as the outputs were assigned
            gains += [gain(e, read_audio(folder / f"test_2mix/iter{i}/spk{c}/{utt}.wav", 8000))
                      for e, c in zip(est, order, strict=True)]  # fmt: skip
        assert gains == pytest.approx([gains[0]] * 4, rel=1e-3)
        assert max(np.abs(t["samples"]).max() for t in tracks(page) if t["utt"] == utt) == pytest.approx(0.9, abs=1e-3)


def test_the_level_of_the_files_of_estimates_is_not_heard(tmp_path: Path, write_audible: Writer) -> None:
    loud, quiet = (render(list(map(str, write_audible(tmp_path / str(x), level=x)))) for x in (1.0, 0.25))
    for one, other in zip(tracks(loud), tracks(quiet), strict=True):
        np.testing.assert_allclose(one["samples"], other["samples"], atol=3e-4)  # of 16-bit files


def test_silent_estimates_are_silent(tmp_path: Path, write_audible: Writer) -> None:
    [folder] = write_audible(tmp_path)
    for file in folder.glob("test_2mix/iter*/spk*/m0.wav"):
        write_audio(file, np.zeros(16000), 8000)
    page = render([str(folder)])
    assert pick(page, "m0", kind="est") and not np.any(pick(page, "m0", kind="est"))
    assert np.any(pick(page, "m0", kind="mix"))


def test_what_was_drawn_for_a_mixture_stands_beside_it(audible: list[str]) -> None:
    facts = collect_examples([("small", read_experiments(audible)[0].sets[0])]).examples[1].facts
    assert facts == {
        "Speaker 1": "voice1", "Speaker 2": "voice2, +1.5 dB", "Noise": "hum, 12.5 dB below speech",
        "Overlap": "50 %", "Room": "4.0 × 5.0 × 3.0 m, T60 0.35 s",
    }  # fmt: skip


def test_names_are_text_whatever_is_in_them(tmp_path: Path, write_audible: Writer) -> None:
    name = """<script>alert("1")</script> & 'x'""".replace("/", "\N{FRACTION SLASH}")
    [folder] = write_audible(tmp_path, (name,))
    page = render([str(folder)])
    assert [text for _, text in page.find("h1")] == [name]
    assert {track["experiment"] for track in tracks(page) if track["kind"] == "est"} == {name}
    assert sum(1 for attributes, _ in page.find("script") if "type" not in attributes) == 1


def test_each_experiment_has_a_page_and_several_have_one_more(
    audible: list[str], tmp_path: Path, write_experiment: Callable[..., Path]
) -> None:
    folders = [Path(shutil.copytree(folder, tmp_path / "exp" / Path(folder).name)) for folder in audible]
    (tmp_path / "exp" / "untried").mkdir()
    records = read_experiments([*map(str, folders), str(tmp_path / "exp" / "untried")])
    pages = [folder / "report" / "index.html" for folder in folders]
    assert write_pages(records[:1], tmp_path / "RESULTS.md") == pages[:1]
    assert write_pages(records, tmp_path / "RESULTS.md") == [*pages, tmp_path / "RESULTS.html"]
    assert pages[1].read_text(encoding="utf-8") == render_page(records[1:2])
    assert sorted(path.name for path in pages[0].parent.iterdir()) == ["index.html"]


def test_what_cannot_be_heard_is_told_and_the_rest_stays(
    audible: list[str], tmp_path: Path, write_audible: Writer, write_experiment: Callable[..., Path]
) -> None:
    gone = str(write_experiment(tmp_path / "exp" / "gone", (4.0, 5.0)))
    [other] = write_audible(tmp_path / "elsewhere", ("other",), seed=100)
    page = render([*audible, gone, str(other)])
    assert {track["experiment"] for track in tracks(page)} == {"", "small", "large"}
    notes = " ".join(text for _, text in page.find("p", class_="note"))
    assert "gone cannot be heard: data/test_2mix" in notes
    assert "other cannot be heard: it separated other mixtures than small" in notes
    assert "gone" in [text for _, text in page.find("th", scope="row")]
    assert not tracks(render([gone]))


def test_a_mixture_whose_audio_broke_is_told(tmp_path: Path, write_audible: Writer) -> None:
    [folder] = write_audible(tmp_path)
    Path(read_table(tmp_path / "data/spk1.scp")["m2"]).write_bytes(b"RIFF")
    page = render([str(folder)])
    assert {track["utt"] for track in tracks(page)} == {"m0", "m3"}
    assert "m2 cannot be heard:" in " ".join(text for _, text in page.find("p", class_="note"))


def test_figures_take_the_page_s_colours(audible: list[str]) -> None:
    html = render_page(read_experiments(audible))
    figures = re.findall(r"<svg role.*?</svg>", html, flags=re.DOTALL)
    assert len(figures) == 1 + 1 + 3 + 2  # scores, iterations used, conditions, two trainings
    for figure in figures:
        assert set(re.findall(r"#[0-9a-f]{6}|(?<=: )(?:black|white)", figure)) == set()
        assert set(re.findall(r"var\(--([a-z0-9-]+)\)", figure)) <= set(re.findall(r"--([a-z0-9-]+):", html))
