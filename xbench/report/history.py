"""A store's runs and cells as text for a terminal, readable at 80 columns, and as CSV."""

from __future__ import annotations

import csv as writing
from collections.abc import Iterable, Iterator
from io import StringIO

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xbench.archive.entries import DAMAGED, FINISHED, CellEntry, RunEntry
from xbench.archive.findings import Finding
from xbench.archive.history import History
from xbench.report.numbers import latency_text, rounded
from xbench.report.terminal import drawn
from xbench.report.text import clean, listed, sentence, shorten

_LONGEST_NAME, _LONGEST_WORDS = 40, 60
_MOST_FINDINGS = 20
_USUAL = "single-stream"

COLUMNS = (
    *("folder", "run_id", "began", "host_id", "host", "model", "model_sha256"),
    *("cell", "label", "backend", "backend_version", "device", "device_model", "batch", "threads"),
    *("precision", "scenario", "boundary", "profile", "status", "rank", "launches"),
    *("p50_ns", "p50_ns_low", "p50_ns_high"),
    *("throughput_per_s", "throughput_per_s_low", "throughput_per_s_high"),
)


def render(found: History, *, width: int = 80, colour: bool = False) -> str:
    """Return the runs with their cells, newest first, no line wider than ``width`` columns."""
    return drawn(Group(*_parts(found)), width=width, colour=colour)


def csv(found: History) -> str:
    """Return a line for each cell; an empty field is "not measured"."""
    out = StringIO()
    writer = writing.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cell in found.cells:
        told = {name: getattr(cell, name, None) for name in COLUMNS}
        for name in ("p50_ns", "throughput_per_s"):
            interval = getattr(cell, name)
            ends = (interval.value, interval.low, interval.high) if interval else (None,) * 3
            told |= zip((name, f"{name}_low", f"{name}_high"), ends, strict=True)
        writer.writerow({name: _field(value) for name, value in told.items()})
    return out.getvalue()


def _field(value: object) -> object:
    return value if isinstance(value, (int, float)) else clean(value or "")


def _parts(found: History) -> Iterator[RenderableType]:
    cells: dict[object, list[CellEntry]] = {}
    for cell in found.cells:
        cells.setdefault(cell.folder, []).append(cell)
    for run in found.runs:
        yield Text()
        yield _title(run)
        yield Padding(Text(clean(run.folder), "dim"), (0, 0, 0, 2))
        if of_run := cells.get(run.folder):
            yield Padding(_table(of_run), (0, 0, 0, 2))
        else:
            yield Padding(Text(_without_rows(run)), (0, 0, 0, 2))
    yield Text()
    yield Text(_count(found), "bold")
    if found.findings:
        yield Text()
        yield Text("Found", "bold yellow")
        yield from map(_finding, found.findings[:_MOST_FINDINGS])
        if (more := len(found.findings) - _MOST_FINDINGS) > 0:
            yield Padding(Text(f"and {more} more: --json - lists them"), (0, 0, 0, 2))


def _title(run: RunEntry) -> Text:
    host = shorten(run.host or "a CPU that is not known", _LONGEST_NAME)
    title = Text.assemble(
        (shorten(run.model or "a model that is not known", _LONGEST_NAME), "bold"),
        f" on {host}",
        f" ({shorten(run.host_id, 12)})" if run.host_id else "",
        f", {_moment(run.began)}" if run.began else "",
    )
    if run.state != FINISHED:
        title.append(f", {run.state}", "red" if run.state == DAMAGED else "yellow")
    return title


def _moment(began: str) -> str:
    return f"{clean(began)[:16].replace('T', ' ')} UTC"


def _without_rows(run: RunEntry) -> str:
    kept = f"{run.lines} lines of samples are kept"
    if run.state == DAMAGED:
        return f"No result that can be trusted; {kept}."
    return f"No result yet; {kept}."


def _table(cells: Iterable[CellEntry]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("#", no_wrap=True)
    table.add_column("backend", overflow="fold", min_width=8)
    table.add_column("with", overflow="fold")
    for name in ("p50", "per s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    for cell in cells:
        style = "" if cell.status == "ok" else "red"
        table.add_row(
            Text(str(cell.rank or "")),
            Text(shorten(cell.backend, _LONGEST_NAME)),
            Text(_setting(cell)),
            Text(latency_text(cell.p50_ns) if cell.p50_ns else "-"),
            Text(rounded(cell.throughput_per_s) if cell.throughput_per_s else "-"),
            Text(shorten(cell.status.replace("_", " "), _LONGEST_NAME), style),
        )
    return table


def _setting(cell: CellEntry) -> str:
    """Return what the cell ran with, such as ``cpu, batch 8, 2 threads, fp16``."""
    threads = cell.threads and f"{cell.threads} thread{'s' * (cell.threads != 1)}"
    parts = (
        cell.device,
        cell.batch and f"batch {cell.batch}",
        threads,
        cell.precision,
        cell.scenario if cell.scenario != _USUAL else None,
        f"boundary {cell.boundary}" if cell.boundary != "host" else None,
        f"as {cell.profile}" if cell.profile else None,
    )
    return shorten(", ".join(str(one) for one in parts if one), _LONGEST_WORDS)


def _count(found: History) -> str:
    shown, runs = len(found.cells), len(found.runs)
    of = f"{shown:,} of {found.matching:,} cells" if shown < found.matching else _several(shown)
    hosts = {run.host_id for run in found.runs} - {None}
    parts = [of, f"{runs:,} run{'s' * (runs != 1)}"]
    parts += [f"{len(hosts)} hosts"] if len(hosts) > 1 else []
    more = " --limit 0 shows all." if shown < found.matching else ""
    return f"{listed(parts)} in {clean(found.root)}.{more}"


def _several(count: int) -> str:
    return f"{count:,} cell{'s' * (count != 1)}"


def _finding(one: Finding) -> RenderableType:
    where = one.folder / one.file if one.file else one.folder
    line = Text.assemble((clean(where), "yellow"), f"  {sentence(one.what)}")
    if one.fix:
        line.append(f" {sentence(one.fix)}", "dim")
    return Padding(line, (0, 0, 0, 2))
