"""The store in a browser: the report's own pages, for this machine alone, read-only."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from threading import Event, Thread, current_thread

import pytest

from tests.xbench.archive.stores import NAMES, damage, flip, keep, run_with
from tests.xbench.report.html.browser import (
    PHONE,
    WIDE,
    Browser,
    MissingError,
    axe_source,
    chromium,
    violations,
)
from tests.xbench.report.runs import HOSTILE, cell, typical
from xbench.archive.reading import read_document
from xbench.errors import UsageError
from xbench.report.html import page
from xbench.serving.pages import served
from xbench.serving.server import host_names, serve
from xbench.store import read_samples

pytest.importorskip("altair")
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of three runs, one without rows and one with names that are no good."""
    root = tmp_path_factory.mktemp("served") / "xbench-runs"
    keep(root, NAMES[0], typical(), began="2026-01-01T12:00:00Z")
    evil = run_with(
        cell(0, SCRIPT, 3e6, 1),
        cell(1, HOSTILE, 4e6, 2),
        host={"host_id": SCRIPT, "devices": [{"name": "cpu", "model": f'"{SCRIPT}'}]},
        model={"name": f"'>{SCRIPT}" + "x" * 2**20, "sha256": "ee" * 32},
    )
    keep(root, NAMES[1], evil, began="2026-01-02T12:00:00Z")
    keep(root, NAMES[2], began="2026-01-03T12:00:00Z", concluded=False)
    return root


@contextmanager
def serving(root: Path) -> Iterator[int]:
    """Yield the port that a store is served at."""
    server = serve(root, 0)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def port(store: Path) -> Iterator[int]:
    with serving(store) as found:
        yield found


def asked(
    port: int, path: str = "/", method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in ({"Host": f"127.0.0.1:{port}"} | headers).items():
            if value:
                connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_list_has_every_run_newest_first(port: int) -> None:
    status, headers, text = asked(port)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert [text.index(f"<bdi>{name}</bdi>") for name in NAMES[2::-1]] == sorted(
        text.index(f"<bdi>{name}</bdi>") for name in NAMES[:3]
    )
    assert "openvino" in text  # the fastest of the first run
    assert "4.120 ms" in text
    assert "unfinished" in text
    assert "3 runs." in text


def test_a_run_has_the_page_of_its_report(port: int, store: Path) -> None:
    """But for the way back."""
    status, _, text = asked(port, f"/run/{NAMES[0]}")
    folder = store / NAMES[0]
    report = page([read_document(folder)], [read_samples(folder)])
    assert status == 200
    assert text == served(report)
    assert text != report
    assert text.replace('<a href="/">All runs</a>', "xbench report", 1) == report


def test_several_runs_have_one_page(port: int) -> None:
    status, _, text = asked(port, f"/together?run={NAMES[0]}&run={NAMES[1]}&run={NAMES[0]}")
    assert status == 200
    assert "What differs between the runs" in text


def test_the_whole_result_can_be_had(port: int, store: Path) -> None:
    status, headers, text = asked(port, f"/run/{NAMES[0]}/result.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert text == (store / NAMES[0] / "result.json").read_text()


def test_the_form_filters(port: int) -> None:
    assert "1 run." in asked(port, "/?status=unfinished")[2]
    assert "1 run." in asked(port, "/?model=toy&backend=openvino&since=2025-12-31")[2]
    assert "No run is like that." in asked(port, "/?backend=nothing")[2]
    status, _, text = asked(port, f"/?model={'%3Cscript%3E'}&host=%22%3E%3Cb%3E")
    assert (status, "<script" in text, "<b>" in text) == (200, False, False)
    for wrong in ("/?since=whenever", "/?status=broken", "/?page=0", "/?page=x"):
        assert asked(port, wrong)[0] == 404


def test_a_run_that_comes_or_goes_is_seen(tmp_path: Path) -> None:
    keep(tmp_path, NAMES[0])
    with serving(tmp_path) as port:
        assert "1 run." in asked(port)[2]
        keep(tmp_path, NAMES[1], run_with(cell(0, "newcomer", 1e6, 1)))
        assert "newcomer" in asked(port)[2]
        assert "newcomer" in asked(port, f"/run/{NAMES[1]}")[2]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/run/nothing",
        "/run/..",
        "/run/../../etc/passwd",
        "/run/..%2f..%2fetc%2fpasswd",
        "/run/%2e%2e",
        f"/run/{NAMES[0]}/run.json",
        f"/run/{NAMES[0]}/../{NAMES[0]}/samples.jsonl",
        f"/run/{NAMES[2]}",  # no result yet
        "/run/",
        "/together",
        "/together?run=nothing",
        "/together?" + "&".join(f"run={n}" for n in range(40)),
        "//evil.example/",
        "/run/%00",
        "/run/" + "x" * 5000,
    ],
)
def test_there_is_no_other_path(port: int, path: str) -> None:
    status, headers, text = asked(port, path)
    assert status == 404
    assert "Content-Security-Policy" in headers
    assert "root:x:0" not in text
    assert "defect" not in text


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "0.0.0.0:{port}"],
)
def test_another_name_of_this_host_gets_nothing(port: int, host: str) -> None:
    """So that no page from elsewhere reads the store by having its own name point here."""
    status, _, text = asked(port, Host=host.format(port=port))
    assert status == 421
    assert "toy" not in text
    assert asked(port, Host=f"localhost:{port}")[0] == 200


def test_browsers_leave_the_port_of_http_out() -> None:
    with_port = {"127.0.0.1:80", "localhost:80", "[::1]:80"}
    assert host_names(80) == with_port | {"127.0.0.1", "localhost", "[::1]"}
    assert host_names(8377) == {"127.0.0.1:8377", "localhost:8377", "[::1]:8377"}


def test_a_browser_that_leaves_while_its_page_is_drawn_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing: list[Thread] = []
    asked_for, left = Event(), Event()

    def drawn(*_: object) -> str:
        drawing.append(current_thread())
        asked_for.set()
        assert left.wait(timeout=30)
        return "x" * 2**20

    monkeypatch.setattr("xbench.serving.server.store_page", drawn)
    keep(tmp_path)
    with serving(tmp_path) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert asked_for.wait(timeout=30)
        left.set()
        drawing[0].join(timeout=30)
    assert capsys.readouterr().err == ""


def test_two_hosts_are_none(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.0 421")


def test_what_another_site_asks_for_is_refused(port: int) -> None:
    assert asked(port, Sec_Fetch_Site="cross-site")[0] == 403
    assert asked(port, Sec_Fetch_Site="none")[0] == 200
    assert asked(port, Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_but_reading_is_answered(port: int, method: str) -> None:
    assert asked(port, method=method)[0] == 501


def test_head_is_a_page_without_its_text(port: int) -> None:
    status, headers, text = asked(port, method="HEAD")
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) > 1000


def test_every_answer_has_a_policy_that_allows_nothing_from_elsewhere(port: int) -> None:
    for path in ("/", f"/run/{NAMES[0]}", f"/run/{NAMES[0]}/result.json", "/nothing"):
        headers = asked(port, path)[1]
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers


def test_names_from_outside_do_no_harm(port: int) -> None:
    for path in ("/", f"/run/{NAMES[1]}"):
        status, _, text = asked(port, path)
        assert status == 200
        assert len(text) < 2_000_000
        tags = Tags(text).found
        assert "script" not in {tag for tag, _ in tags}
        assert not [name for _, given in tags for name in given if name.startswith("on")]
        assert not {"\u202e", "\x1b"} & set(text)


def test_pages_ask_for_nothing(port: int) -> None:
    """No picture, font or script is fetched; links lead to this server alone."""
    for path in ("/", f"/run/{NAMES[0]}"):
        for tag, given in Tags(asked(port, path)[2]).found:
            assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base"}
            for name in ("href", "src", "action"):
                assert re.match(r"[/#][^/]?|$", given.get(name) or ""), (tag, given)


def test_nothing_in_the_store_is_changed(tmp_path: Path) -> None:
    """Also not what is damaged: that is told, and moved by other commands."""
    folder = keep(tmp_path)
    damage(folder / "result.json", flip)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with serving(tmp_path) as port:
        text = asked(port)[2]
        assert "damaged" in text
        assert asked(port, f"/run/{NAMES[0]}")[0] == 404
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_it_listens_on_the_loopback_address_alone(port: int) -> None:
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    of_port = [line.split()[1] for line in listening if line.split()[1].endswith(f":{port:04X}")]
    assert of_port
    assert {address.split(":")[0] for address in of_port} == {"0100007F"}


def test_a_port_that_is_taken_and_a_store_that_is_not_there_are_told(
    store: Path, port: int
) -> None:
    with pytest.raises(UsageError, match="--port 0"):
        serve(store, port)
    with pytest.raises(UsageError, match="no store"):
        serve(store / "nothing", 0)


def test_the_command_prints_the_address_and_ends_at_ctrl_c(store: Path) -> None:
    command = [sys.executable, "-m", "xbench.cli", "serve", "--store", str(store), "--port", "0"]
    program = (  # a shell that starts tests in the background has them ignore it
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from xbench.cli.main import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, *command[3:]],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.match(r"http://127\.0\.0\.1:(\d+)/", line)
        assert found
        assert asked(int(found[1]))[0] == 200
        server.send_signal(signal.SIGINT)
        try:
            assert server.wait(timeout=30) == 0
        finally:
            server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        with chromium() as found:
            yield found
    except MissingError as why:
        pytest.skip(str(why))


def show(browser: Browser, url: str, size: tuple[int, int], *, dark: bool = False) -> None:
    """Show an address in a window of a size, to a reader who prefers light or dark."""
    features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.command("Emulation.setEmulatedMedia", media="", features=features)
    own = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.command("Emulation.setDeviceMetricsOverride", **own)
    browser.messages()
    browser.requests()
    browser.driver.get(url)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
def test_a_browser_shows_the_list_and_follows_it_to_a_report(
    browser: Browser, port: int, size: tuple[int, int]
) -> None:
    """Without a word on the console, and with nothing asked for but the pages."""
    own = f"http://127.0.0.1:{port}/"
    show(browser, own, size)
    assert browser.run("return document.documentElement.scrollWidth - innerWidth") <= 0
    browser.run("document.querySelector('input[name=run]').click()")
    browser.run("document.querySelector('main form:last-of-type button').click()")
    assert "/together?run=" in browser.driver.current_url
    assert browser.run("return document.querySelectorAll('svg.chart').length") > 0
    browser.run("document.querySelector('.bar a').click()")
    assert browser.driver.current_url == own
    asked_for = [url for url in browser.requests() if not url.endswith("/favicon.ico")]
    assert [url.split("?")[0] for url in asked_for] == [own, f"{own}together", own]
    assert browser.messages() == []


def test_axe_finds_nothing_serious(
    browser: Browser, port: int, pytestconfig: pytest.Config
) -> None:
    try:
        axe = axe_source(pytestconfig.cache.mkdir("axe"))
    except MissingError as why:
        pytest.skip(str(why))
    for dark in (False, True):
        show(browser, f"http://127.0.0.1:{port}/", WIDE, dark=dark)
        assert violations(browser, axe) == []
