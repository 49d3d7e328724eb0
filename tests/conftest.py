"""What all tests share: GPU tests run only where they are asked for; a browser that shows pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, not wrong.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

CONTRAST = """
const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ground = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const colour = rgb(getComputedStyle(one).backgroundColor);
    if (colour.length < 4 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const poor = [];
let n = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim()) continue;
  if (!element.checkVisibility() || element.closest("svg")) continue;
  const [one, two] = [light(rgb(getComputedStyle(element).color)), light(ground(element))];
  const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
  n += 1;
  if (ratio < 4.5) poor.push([ratio, element.tagName, element.textContent.slice(0, 40)]);
}
return [n, poor];
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects tests marked `gpu` unless `-m` mentions the mark; asked for, they fail without a GPU."""
    if "gpu" in config.getoption("markexpr"):
        return
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu:
        config.hook.pytest_deselected(items=gpu)
        items[:] = [item for item in items if not item.get_closest_marker("gpu")]


class Browser:
    """A headless Chromium that shows files.

    Attributes:
        driver: Selenium's.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def show(self, page: Path, *, width: int = 1280, scheme: str = "light", scripts: bool = True) -> None:
        """Open a page at a width, in light or dark, with or without JavaScript."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        dark = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        self.driver.get(page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a function's body, run in the page."""
        return self.driver.execute_script(script, *arguments)

    def flaws(self) -> list[str]:
        """What is wrong with the page as it stands: too wide, text that is hard to read, complaints."""
        found = self.complaints()
        wide, room = self.run("return [document.documentElement.scrollWidth, innerWidth]")
        if wide > room:
            found.append(f"{wide} pixels wide where there are {room}")
        n, poor = self.run(CONTRAST)
        return found + [f"poor contrast: {one}" for one in poor] + (["no text"] if n < 50 else [])

    def complaints(self) -> list[str]:
        """What the console was told since the last call."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, where there is one; with `HISA_EVAL_BROWSER=required` there must be."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    driver_program = shutil.which("chromedriver")
    if program is None or driver_program is None:
        if os.environ.get("HISA_EVAL_BROWSER") == "required":
            pytest.fail("chromium and chromedriver are not installed, and HISA_EVAL_BROWSER=required")
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    flags = "headless no-sandbox disable-gpu disable-background-networking disable-component-update"
    for flag in (*flags.split(), "disable-sync", "no-first-run", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_program))
    driver.set_page_load_timeout(60)
    yield Browser(driver)
    driver.quit()
