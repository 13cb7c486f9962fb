"""The page of a real run, as a browser, a keyboard and a screen reader meet it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

import xbench
from tests.xbench.report.html.browser import (
    PHONE,
    WIDE,
    Browser,
    MissingError,
    axe_source,
    chromium,
    violations,
)
from tests.xbench.report.html.made import generated, with_names
from tests.xbench.report.html.test_page import HOSTILE, told
from tests.xbench.test_comparison import convolution
from xbench.archive.reading import read_document
from xbench.report.html import page
from xbench.report.recall import run_of
from xbench.result import Status
from xbench.store import read_samples

VIEWS = [(WIDE, False), (WIDE, True), (PHONE, False), (PHONE, True)]
NAMES = ["desktop light", "desktop dark", "phone light", "phone dark"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        with chromium() as found:
            yield found
    except MissingError as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def axe(pytestconfig: pytest.Config) -> str:
    try:
        return axe_source(pytestconfig.cache.mkdir("axe"))
    except MissingError as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a generated run in three groups, with charts of every kind."""
    made, samples = generated(12, 3)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page([made], [samples]), encoding="utf-8")
    return path


@pytest.mark.parametrize(("size", "dark"), VIEWS, ids=NAMES)
def test_a_browser_shows_it_without_a_word_or_a_request(
    browser: Browser, report: Path, size: tuple[int, int], dark: bool
) -> None:
    """Nothing is wider than the window, and every chart is there."""
    browser.open(report, size, dark=dark)
    check_silent(browser, report)
    check_charts(browser)
    wider = browser.run("return document.documentElement.scrollWidth - innerWidth")
    assert wider <= 0


def test_the_keyboard_reaches_every_table_in_reading_order(browser: Browser, report: Path) -> None:
    browser.open(report)
    check_keyboard(browser)


@pytest.mark.parametrize(("size", "dark"), VIEWS, ids=NAMES)
def test_axe_finds_nothing_serious(
    browser: Browser, report: Path, axe: str, size: tuple[int, int], dark: bool
) -> None:
    """Contrast, names, landmarks and order of headings, with every table open."""
    browser.open(report, size, dark=dark)
    check_accessible(browser, axe)


def check_silent(browser: Browser, report: Path) -> None:
    """Assert that the console shows nothing, and that nothing was asked for but the file."""
    assert browser.messages() == []
    assert browser.requests() == [report.as_uri()]


def check_charts(browser: Browser) -> None:
    """Assert that one picture of each chart is seen, drawn, named and described, with a table."""
    charts = browser.run(_CHARTS)
    assert charts
    for chart in charts:
        assert chart["seen"] == 1, chart
        assert chart["width"] > 250, chart
        assert chart["marks"] > 3, chart
        assert chart["name"], chart
        assert chart["described"], chart
        assert chart["rows"] >= 1, chart


_CHARTS = """
return [...document.querySelectorAll('figure')].map(figure => {
  const seen = [...figure.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width);
  const marks = seen.length ? [...seen[0].querySelectorAll('path')] : [];
  const drawn = marks.filter(m => {
    const box = m.getBoundingClientRect();
    return box.width + box.height > 0;
  });
  const named = seen.length ? seen[0].getAttribute('aria-labelledby').split(' ') : [];
  const [name, described] = named.map(id => document.getElementById(id).textContent.trim());
  return {id: figure.id, seen: seen.length, marks: drawn.length, name, described,
          width: seen.length ? seen[0].getBoundingClientRect().width : 0,
          rows: figure.querySelectorAll('tbody tr').length};
})
"""


def check_keyboard(browser: Browser) -> None:
    """Assert that Tab goes down the page, past every chart's table, and Enter opens one."""
    reached: list[int] = []
    browser.run("document.querySelectorAll('*').forEach((one, n) => one.dataset.place = n)")
    for _ in range(400):
        browser.press("Tab")
        if browser.run("return document.activeElement === document.body"):
            break  # the page is left
        reached.append(int(browser.run("return document.activeElement.dataset.place")))
    assert reached == sorted(reached)
    summaries = browser.run(
        "return [...document.querySelectorAll('figure summary')].map(s => +s.dataset.place)"
    )
    assert len(summaries) == browser.run("return document.querySelectorAll('figure').length")
    assert set(summaries) <= set(reached)
    browser.run("document.querySelector('figure summary').focus()")
    browser.press("Enter")
    assert browser.run("return document.querySelector('figure details').open")
    browser.press("Tab")
    assert browser.run("return document.activeElement.matches('figure .scroll')")


def check_accessible(browser: Browser, axe: str) -> None:
    """Assert that axe-core has nothing to say of weight, with every table open."""
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert violations(browser, axe) == []


def test_the_reader_may_choose_dark_or_light(browser: Browser, report: Path) -> None:
    """The choice goes before what the system prefers, and without a script."""
    ground = "return getComputedStyle(document.body).backgroundColor"
    browser.open(report)
    light = browser.run(ground)
    browser.run("document.getElementById('theme-dark').click()")
    dark = browser.run(ground)
    assert dark != light
    browser.open(report, dark=True)
    assert browser.run(ground) == dark
    browser.run("document.getElementById('theme-light').click()")
    assert browser.run(ground) == light


def test_paper_has_every_table(browser: Browser, report: Path) -> None:
    """In print the tables behind the charts stand open, and the colours are those of paper."""
    browser.open(report, dark=True)
    browser.command("Emulation.setEmulatedMedia", media="print")
    heights = browser.run(
        "return [...document.querySelectorAll('figure tbody')].map(t => t.offsetHeight)"
    )
    assert min(heights) > 0
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"


@pytest.mark.parametrize("name", HOSTILE[:-1], ids=range(len(HOSTILE) - 1))
def test_a_hostile_name_runs_nothing(browser: Browser, tmp_path: Path, name: str) -> None:
    """No script, no request and no word on the console."""
    run = run_of(generated(2, 1, rounds=8)[0])
    path = tmp_path / "report.html"
    path.write_text(page([told(with_names(run, name))]), encoding="utf-8")
    browser.open(path)
    check_silent(browser, path)
    assert browser.run("return document.querySelectorAll('script, img, iframe').length") == 0


@pytest.mark.slow
def test_a_real_run_of_forty_cells(browser: Browser, axe: str, tmp_path: Path) -> None:
    """Two runtimes, each twice, at ten batch sizes: measured here, and shown as it must be."""
    model, folder, path = (tmp_path / name for name in ("conv.onnx", "run", "report.html"))
    onnx.save(convolution(), model)
    backends = ("onnxruntime", "openvino", "onnxruntime", "openvino")
    asked: dict[str, Any] = {"launches": 1, "time_budget_s": 80.0, "precision_target": 100.0}
    run = xbench.compare(model, backends, batches=tuple(range(1, 11)), out=folder, **asked)
    assert len(run.results) == 40
    # On a busy machine the time may not suffice for the last batch sizes: they say so on the page.
    assert {row.status for row in run.results} <= {Status.OK, Status.INTERRUPTED}
    text = page([read_document(folder)], [read_samples(folder)])
    assert len(text.encode()) < 2_000_000
    path.write_text(text, encoding="utf-8")
    browser.open(path)
    check_silent(browser, path)
    check_charts(browser)
    check_keyboard(browser)
    for size, dark in VIEWS[:3]:
        browser.open(path, size, dark=dark)
        check_accessible(browser, axe)
