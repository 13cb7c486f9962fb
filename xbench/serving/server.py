"""A server for the browsers of this machine: it reads, answers GET, and knows no other host.

It listens on the loopback address alone. A page from elsewhere that has its name point here (DNS
rebinding) sends its own name as the host, and is refused; so is what such a page asks for by a
link or an image, which browsers mark as cross-site.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote

from xbench.archive.index import Index
from xbench.archive.reading import read_document
from xbench.errors import UsageError, XbenchError
from xbench.report.html import page
from xbench.serving.pages import message_page, policy, served, store_page
from xbench.store import RESULT, SAMPLES, read_samples

ADDRESS = "127.0.0.1"
PAGES = 16  # of reports that are kept, since drawing takes seconds
MOST_TOGETHER = 12  # runs on one page
TIMEOUT_S = 30.0
HTTP_PORT = 80  # which browsers leave out of the host that they ask for

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path has to say."""

    text: str
    status: HTTPStatus = HTTPStatus.OK
    kind: str = "text/html; charset=utf-8"


class Site:
    """The store as pages, for one thread at a time."""

    def __init__(self, root: Path) -> None:
        self._index = Index.open(root, read_only=True)
        self._lock = Lock()
        self._drawn: OrderedDict[tuple[object, ...], str] = OrderedDict()

    def answer(self, target: str) -> Answer:
        """Return the answer to the target of a request, such as ``/run/NAME``."""
        path, _, query = target.partition("?")
        asked = parse_qs(query)
        with self._lock:
            try:
                return self._answer(path, asked)
            except XbenchError as error:
                text = message_page("That cannot be shown", str(error))
                return Answer(text, HTTPStatus.NOT_FOUND)

    def _answer(self, path: str, asked: dict[str, list[str]]) -> Answer:
        self._index.refresh()
        match [unquote(part) for part in path.split("/")[1:]]:
            case [""]:
                words = {name: values[-1] for name, values in asked.items()}
                return Answer(store_page(self._index, words))
            case ["run", name]:
                return Answer(self._report([name]))
            case ["run", name, "result.json"]:
                text = (self._folder(name) / RESULT).read_text(encoding="utf-8")
                return Answer(text, kind="application/json")
            case ["favicon.ico"]:  # which browsers ask for unasked
                return Answer("", HTTPStatus.NO_CONTENT, "image/x-icon")
            case ["together"]:
                return Answer(self._report(asked.get("run", [])))
        raise UsageError("there is no such page", "Go back to the list")

    def _report(self, names: Sequence[str]) -> str:
        if not 0 < len(names) <= MOST_TOGETHER:
            raise UsageError(f"{len(names)} runs were chosen", f"Choose 1 to {MOST_TOGETHER}")
        folders = [self._folder(name) for name in dict.fromkeys(names)]
        key = tuple((folder.name, _stamp(folder)) for folder in folders)
        if key not in self._drawn:
            documents = [read_document(folder) for folder in folders]
            samples = [read_samples(one) if (one / SAMPLES).exists() else None for one in folders]
            self._drawn[key] = served(page(documents, samples))
        self._drawn.move_to_end(key)
        while len(self._drawn) > PAGES:
            self._drawn.popitem(last=False)
        return self._drawn[key]

    def _folder(self, name: str) -> Path:
        """Return the folder of a run that the index knows; a name is never made into a path."""
        for run in self._index.runs():
            if run.folder.name == name:
                return run.folder
        raise UsageError("there is no such run", "Go back to the list")


def serve(root: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of the store ``root``, which answers as soon as it is started.

    Args:
        root: The folder of run folders.
        port: On the loopback address; 0 is any that is free.

    Raises:
        UsageError: If there is no store, or the port is taken.
    """
    site = Site(root)

    class Handler(_Handler):
        pass

    Handler.site, Handler.policy = site, policy()
    try:  # it takes the port before it is asked to answer
        server = _Server((ADDRESS, port), Handler)
    except (OSError, OverflowError) as error:
        raise UsageError(f"port {port} cannot be had ({error})", "Try --port 0") from error
    Handler.names = host_names(server.server_port)
    return server


def host_names(port: int) -> set[str]:
    """Return what a browser of this machine may call the host of a port."""
    names = {ADDRESS, "localhost", "[::1]"}
    return {f"{name}:{port}" for name in names} | (names if port == HTTP_PORT else set())


class _Server(ThreadingHTTPServer):
    """Says nothing of a browser that leaves while its page is drawn."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of what went wrong with a request, unless nobody waits for the answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection. It says nothing of itself, and logs nothing."""

    site: ClassVar[Site]
    policy: ClassVar[str]
    names: ClassVar[set[str]]
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        """Answer with the page."""
        self._respond(body=True)

    def do_HEAD(self) -> None:
        """Answer with what stands before the page."""
        self._respond(body=False)

    def version_string(self) -> str:
        """Return what the server says that it is."""
        return "xbench"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base class's name
        """Say nothing: the terminal shows the address, and that alone."""

    def _respond(self, *, body: bool) -> None:
        answer = self._refusal() or self._answered(self.site.answer)
        data = answer.text.encode("utf-8", errors="replace")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", self.policy)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def _answered(self, answer: Callable[[str], Answer]) -> Answer:
        try:
            return answer(self.path)
        except Exception as error:  # of one page: the server goes on with the next
            text = f"this is a defect of xbench: {type(error).__name__}: {error}"
            return Answer(message_page("A defect", text), HTTPStatus.INTERNAL_SERVER_ERROR)

    def _refusal(self) -> Answer | None:
        """Return why somebody else than this machine's own browser gets no page."""
        hosts = set(self.headers.get_all("Host", []))
        if not hosts or hosts - self.names:
            return _plain("This server answers to 127.0.0.1 alone.", HTTPStatus.MISDIRECTED_REQUEST)
        if self.headers.get("Sec-Fetch-Site") == "cross-site":
            return _plain("Another site asked for this.", HTTPStatus.FORBIDDEN)
        return None


def _plain(text: str, status: HTTPStatus) -> Answer:
    return Answer(f"{text}\n", status, "text/plain; charset=utf-8")


def _stamp(folder: Path) -> tuple[int, ...]:
    """Return what changes when a run's result or samples do."""
    found = []
    for name in (RESULT, SAMPLES):
        try:
            told = (folder / name).stat()
        except OSError:
            found.append(0)
        else:
            found += [told.st_mtime_ns, told.st_size, told.st_ino]
    return tuple(found)
