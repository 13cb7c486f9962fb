"""A headless Chromium that tells of every console message and every request; axe-core for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AXE = "axe-core@4.14.1"
WIDE, PHONE = (1280, 900), (390, 844)
DRIVER_AT = ("chromedriver", "/usr/lib/chromium/chromedriver")


class MissingError(Exception):
    """What is needed is not here; the message says what, and how it is installed."""


class Browser:
    """One page at a time; what it did meanwhile can be asked for."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, size: tuple[int, int] = WIDE, *, dark: bool = False) -> None:
        """Show a page in a window of a size, to a reader who prefers light or dark."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        metrics = {
            "width": size[0],
            "height": size[1],
            "deviceScaleFactor": 1,
            "mobile": size == PHONE,
        }
        self.command("Emulation.setEmulatedMedia", media="", features=features)
        self.command("Emulation.setDeviceMetricsOverride", **metrics)
        self.requests()  # what the page before asked for is none of its own
        self.driver.get(page.as_uri())

    def command(self, name: str, **parameters: Any) -> Any:
        """Return the answer to a command of the browser's own protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns; it runs beside the page, whatever the page's policy."""
        return self.driver.execute_script(script, *arguments)

    def messages(self) -> list[str]:
        """Return what the console has shown since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since this was last called."""
        events = [
            json.loads(one["message"])["message"] for one in self.driver.get_log("performance")
        ]
        sent = (one for one in events if one["method"] == "Network.requestWillBeSent")
        return [one["params"]["request"]["url"] for one in sent]

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press and release a key: ``Tab`` or ``Enter``."""
        codes = {"Tab": 9, "Enter": 13}
        text = {"text": "\r"} if key == "Enter" else {}
        own = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key], "modifiers": modifiers}
        self.command("Input.dispatchKeyEvent", type="keyDown", **own, **text)
        self.command("Input.dispatchKeyEvent", type="keyUp", **own)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser without a window.

    Raises:
        MissingError: If there is no Chromium, no driver for it or no selenium.
    """
    binary = next((found for name in ("chromium", "chrome") if (found := shutil.which(name))), None)
    driver = next((found for name in DRIVER_AT if (found := shutil.which(name))), None)
    if binary is None or driver is None:
        raise MissingError("there is no Chromium: apt-get install chromium chromium-driver")
    try:
        from selenium import webdriver
    except ImportError:
        raise MissingError("there is no selenium: pip install selenium") from None
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    own = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Browser(own)
    finally:
        own.quit()


def axe_source(cache: Path) -> str:
    """Return the text of axe-core, fetched once into a folder.

    Raises:
        MissingError: If npm is not here, or cannot fetch it.
    """
    script = cache / AXE / "package" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise MissingError("there is no npm to fetch axe-core with")
        script.parent.parent.mkdir(parents=True, exist_ok=True)
        line = [npm, "pack", AXE, "--silent", "--pack-destination", str(script.parent.parent)]
        packed = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
        if packed.returncode:
            raise MissingError(f"npm cannot fetch axe-core: {packed.stderr.strip()[-200:]}")
        with tarfile.open(script.parent.parent / packed.stdout.split()[-1]) as archive:
            archive.extract("package/axe.min.js", script.parent.parent, filter="data")
    return script.read_text(encoding="utf-8")


def violations(browser: Browser, axe: str) -> list[dict[str, Any]]:
    """Return what axe-core finds in the page that is serious, with the elements."""
    browser.run(axe)
    found = browser.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations));"
    )
    return [
        {
            "id": one["id"],
            "impact": one["impact"],
            "at": [n["html"][:160] for n in one["nodes"][:4]],
        }
        for one in found
        if one["impact"] in ("serious", "critical", "moderate")
    ]
