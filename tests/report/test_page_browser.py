"""The page in a browser: what is heard, seen and typed. Skipped where chromium or selenium is not installed."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from itersep.report.experiment import read_experiments
from itersep.report.page import write_pages

pytest.importorskip("selenium")
if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("needs chromium and chromedriver", allow_module_level=True)

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402

# Listens to what goes to the loudspeaker, and writes down when, and from where, each source starts.
LISTENER = """
window.starts = [];
const start = AudioBufferSourceNode.prototype.start, connect = AudioNode.prototype.connect;
AudioBufferSourceNode.prototype.start = function (when, offset) {
  window.starts.push({ when, offset });
  start.call(this, when, offset);
};
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    window.ear ??= new AnalyserNode(this.context, { fftSize: 8192, smoothingTimeConstant: 0 });
    connect.call(this, window.ear);
  }
  return connect.call(this, to, ...rest);
};
window.loudestHz = () => {
  if (!window.ear) return 0;
  const levels = new Float32Array(window.ear.frequencyBinCount);
  window.ear.getFloatFrequencyData(levels);
  const bin = levels.indexOf(Math.max(...levels));
  return levels[bin] < -60 ? 0 : (bin * window.ear.context.sampleRate) / window.ear.fftSize;
};
"""
CONTRAST = """
const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
const luminance = ([r, g, b]) => [0.2126 * r, 0.7152 * g, 0.0722 * b].reduce((sum, _, k) =>
  sum + [0.2126, 0.7152, 0.0722][k] * ((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  ([r, g, b][k] / 255), 0);
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
};
return [...document.querySelectorAll("body *")].flatMap((element) => {
  const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!text || element.closest("script, style, noscript") || !element.getClientRects().length) return [];
  const svg = element instanceof SVGElement, style = getComputedStyle(element);
  const [a, b] = [luminance(parse(svg ? style.fill : style.color)), luminance(behind(element))].sort((x, y) => y - x);
  return [[(a + 0.05) / (b + 0.05), element.textContent.trim().slice(0, 40)]];
});
"""


class Browser:
    """A page in chromium, and its players."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, width: int = 1200, dark: bool = False, touch: bool = False) -> list[WebElement]:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": touch}
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": touch})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme, still]})
        self.driver.get(page.as_uri())
        return self.driver.find_elements(By.CSS_SELECTOR, ".player")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def errors(self) -> list[str]:
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]

    def hears(self, hz: int) -> None:
        """Wait until this is the loudest frequency; the analyser's are 6 Hz apart."""
        wait(
            lambda: abs(self.run("return loudestHz()") - hz) < 8,
            lambda: f"{hz} Hz, not {self.run('return loudestHz()')}",
        )


def wait(condition: Callable[[], bool], what: Callable[[], str] = lambda: "") -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.02)


def find(player: WebElement, selector: str) -> WebElement:
    return player.find_element(By.CSS_SELECTOR, selector)


def is_playing(player: WebElement) -> bool:
    return find(player, ".play").get_attribute("aria-label") == "Pause"


def place(player: WebElement) -> float:
    return float(find(player, ".seek").get_property("value"))


def focus(browser: Browser, player: WebElement) -> None:
    browser.run("arguments[0].focus()", player)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.command_executor.client_config.timeout = 600  # of a machine that is busy with other things
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LISTENER})
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, write_audible: Callable[..., list[Path]]) -> list[Path]:
    """The page of an experiment, and that of two experiments."""
    root = tmp_path_factory.mktemp("pages")
    folders = write_audible(root, ("small", "large_with_a_long_name_of_many_words"))
    one, _, both = write_pages(read_experiments(list(map(str, folders))), root / "RESULTS.md")
    return [one, both]


def test_what_is_chosen_is_heard_and_the_place_in_time_is_kept(
    browser: Browser, pages: list[Path], tones: Callable[..., int]
) -> None:
    player = browser.open(pages[0])[0]
    find(player, ".loop").click()
    find(player, ".play").click()
    browser.hears(tones("mix"))
    for key, hz in {
        "2": tones("est", 1, 2), "1": tones("est", 1, 1), "s": tones("est", 2, 1), "r": tones("ref", 2),
        "m": tones("mix"), "e": tones("est", 2, 1),
    }.items():  # fmt: skip
        browser.press(key)
        browser.hears(hz)
    find(player, "[data-set-iteration='2']").click()
    browser.hears(tones("est", 2, 2))
    find(player, ".track[data-kind=ref][data-speaker='1'] .hear").click()
    browser.hears(tones("ref", 1))
    starts = browser.run("return starts")
    assert len(starts) == 9
    origins = [(start["when"] - start["offset"]) % 2.0 for start in starts]  # of signals of 2 s, in a loop
    assert max(min(abs(o - origins[0]), 2.0 - abs(o - origins[0])) for o in origins) < 1e-6
    find(player, ".track.chosen .hear").click()
    assert not is_playing(player)
    browser.hears(0)
    assert browser.errors() == []


def test_the_keys_of_a_player_work_wherever_the_focus_is_in_it_and_nowhere_else(
    browser: Browser, pages: list[Path]
) -> None:
    player, other = browser.open(pages[0])[:2]
    browser.press("2", "s")
    assert find(player, "[data-set-kind=mix]").get_attribute("aria-pressed") == "true"
    focus(browser, player)
    browser.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert place(player) == pytest.approx(0.5)
    for selector in (".seek", "[data-set-iteration='2']", ".track.chosen .hear", ".play", ".loop"):
        focus(browser, find(player, selector))
        browser.press(" ")
        wait(lambda: is_playing(player))
        browser.press(" ")
        wait(lambda: not is_playing(player))
    assert place(player) >= 0.5 and place(other) == 0
    browser.press(Keys.HOME)
    assert place(player) == 0
    focus(browser, find(player, "[data-set-iteration='2']"))
    browser.press(Keys.ENTER)
    assert find(player, ".row[data-iteration='2'] .track").get_attribute("class") == "track chosen"
    focus(browser, find(player, ".track.chosen .hear"))
    browser.press("1")  # the focus goes with the choice
    assert browser.run("return document.activeElement.closest('.chosen').dataset.iteration") == "1"


def test_every_control_is_reached_by_tab_and_shows_the_focus(browser: Browser, pages: list[Path]) -> None:
    player = browser.open(pages[0])[0]
    focus(browser, player)
    wanted = browser.run("return arguments[0].querySelectorAll('button, input').length", player)
    for _ in range(wanted):
        browser.press(Keys.TAB)
        inside, outline = browser.run(
            "const e = document.activeElement; return [arguments[0].contains(e), getComputedStyle(e).outlineWidth]",
            player,
        )
        assert inside and outline == "2px"
    browser.press(Keys.TAB)
    assert not browser.run("return arguments[0].contains(document.activeElement)", player)


def test_a_click_on_a_spectrogram_goes_there(browser: Browser, pages: list[Path], tones: Callable[..., int]) -> None:
    player = browser.open(pages[0])[0]
    track = find(player, ".track[data-kind=est][data-iteration='1'][data-speaker='2']")
    find(track, ".strip").click()  # in its middle
    assert place(player) == pytest.approx(1.0, abs=0.02)
    assert track.get_attribute("class") == "track chosen" and not is_playing(player)
    head = browser.run("return parseFloat(getComputedStyle(arguments[0], '::after').left)", find(track, ".strip"))
    assert head == pytest.approx(find(track, ".strip").size["width"] / 2, abs=3)
    find(player, ".play").click()
    browser.hears(tones("est", 2, 1))
    assert browser.run("return starts[0].offset") == pytest.approx(1.0, abs=0.02)


def test_one_player_plays_at_a_time_and_stops_at_the_end(browser: Browser, pages: list[Path]) -> None:
    first, second = browser.open(pages[0])[:2]
    find(first, ".play").click()
    wait(lambda: is_playing(first) and place(first) > 0)
    browser.run("arguments[0].click()", find(second, ".play"))
    assert is_playing(second) and not is_playing(first)
    wait(lambda: not is_playing(second))
    assert place(second) == 0 and place(first) > 0


def test_a_spectrogram_shows_a_tone_at_its_frequency(
    browser: Browser, pages: list[Path], tones: Callable[..., int]
) -> None:
    player = browser.open(pages[0])[0]
    for track in player.find_elements(By.CSS_SELECTOR, ".track"):
        browser.run("arguments[0].scrollIntoView()", track)
        canvas = find(track, "canvas")
        wait(lambda canvas=canvas: canvas.get_property("height") > 0)
        opacity = browser.run(
            """const { width, height } = arguments[0], { data } = arguments[0].getContext("2d")
                 .getImageData(0, 0, width, height);
               return Array.from({ length: height }, (_, y) => data[4 * (y * width + width / 2) + 3]);""",
            canvas,
        )
        kind, iteration, speaker = (track.get_attribute(f"data-{name}") for name in ("kind", "iteration", "speaker"))
        hz = {tones(kind, int(speaker), int(iteration))}
        hz |= {tones("ref", c) for c in (1, 2) if kind == "mix" or (kind == "est" and str(c) == speaker)}
        dark = [y for y, value in enumerate(reversed(opacity)) if value > 200]
        starts = [y for y in dark if y - 1 not in dark]
        ends = [y for y in dark if y + 1 not in dark]
        seen_hz = [(start + end) / 2 * 4000 / len(opacity) for start, end in zip(starts, ends, strict=True)]
        assert seen_hz == pytest.approx(sorted(hz), abs=32)  # a row's width


def test_several_experiments_are_compared_at_one_iteration(
    browser: Browser, pages: list[Path], tones: Callable[..., int]
) -> None:
    player = browser.open(pages[1])[0]
    find(player, ".loop").click()
    find(player, ".play").click()
    for keys, experiment, iteration in (("2", 0, 2), ("x", 1, 2), ("1", 1, 1), ("x", 0, 1)):
        browser.press(*keys)
        browser.hears(tones("est", 1, iteration, experiment))
        shown = [row.get_attribute("data-iteration") for row in player.find_elements(By.CSS_SELECTOR, ".row.est")
                 if row.is_displayed()]  # fmt: skip
        assert shown == [str(iteration)] * 2
    find(player, ".play").click()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 1200])
def test_the_page_fits_and_its_text_stands_out(browser: Browser, pages: list[Path], width: int, dark: bool) -> None:
    for page in pages:
        player = browser.open(page, width, dark, touch=width < 400)[0]
        browser.run("for (const d of document.querySelectorAll('details')) d.open = true")
        assert browser.run("const e = document.documentElement; return e.scrollWidth - e.clientWidth") == 0
        assert min(ratio for ratio, _ in browser.run(CONTRAST)) >= 4.5, min(browser.run(CONTRAST))
        if width < 400:
            heights = [b.size["height"] for b in player.find_elements(By.CSS_SELECTOR, ".transport button")]
            assert min(heights) >= 44  # of a fingertip
            find(player, "[data-set-iteration='2']").click()
            assert find(player, ".track.chosen").get_attribute("data-iteration") == "2"
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert browser.errors() == []
