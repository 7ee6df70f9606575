#!/usr/bin/env python3
"""Picture of a report page: tools/picture_page.py egs/mini/exp/freq/report/index.html docs/listening_page.png"""

import base64
import shutil
import sys
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By

from itersep.system.files import write_aside

WIDTH = 1200  # pixels of the style sheet


def main(page: str, picture: str) -> None:
    """Picture the page down to the end of its first player, in the middle of the second iteration."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.set_window_size(WIDTH, 2400)
        driver.get(Path(page).resolve().as_uri())
        player = driver.find_element(By.CSS_SELECTOR, ".player")
        player.find_element(By.CSS_SELECTOR, "[data-set-iteration='2']").click()
        strip = player.find_element(By.CSS_SELECTOR, ".track.chosen .strip")
        strip.click()  # in its middle
        while any(canvas.get_property("height") == 0 for canvas in player.find_elements(By.TAG_NAME, "canvas")):
            time.sleep(0.1)
        height = player.location["y"] + player.size["height"] + 20
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
        shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    finally:
        driver.quit()
    with write_aside(picture) as aside:
        aside.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
