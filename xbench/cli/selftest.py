"""`xbench selftest`: the harness measured by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from xbench.cli import options
from xbench.cli.output import Outputs
from xbench.units import format_share, parse_duration_s

if TYPE_CHECKING:
    from xbench.result import Run

_DECIDED = {"faster", "slower"}


def selftest(
    backend: options.Backend = "onnxruntime",
    model: options.BothSides = "mobilenet_v2",
    time_budget: options.SelfTestTime = "60s",
    out: options.Out = None,
    json: options.Json = "",
    no_progress: options.NoProgress = False,
) -> None:
    """Measure the harness itself, on this machine.

    It finds what the harness adds to each inference, and what it says of a backend that is
    compared with itself. Exit status 1 if it finds a difference where there is none.
    """
    seconds = parse_duration_s(time_budget)
    outputs = Outputs(json=json)
    outputs.check()
    from xbench.cli.progress import watched
    from xbench.selftest import selftest as measure

    with watched(quiet=no_progress) as progress:
        found = measure(backend, progress=progress, model=model, seconds=seconds, out=out)
    document = found.to_json()
    raise typer.Exit(_show(document, found.run, outputs))


def _show(document: Mapping[str, Any], run: Run, outputs: Outputs) -> int:
    """Print the findings, write the document and return the exit status."""
    from xbench.report.document import to_text

    status = 1 if document["aa"]["verdict"] in _DECIDED else run.exit_status
    text = "".join(f"{line}\n" for line in report(document))
    return outputs.deliver(text, {name: to_text(document) for name in outputs.targets}, status)


def report(document: Mapping[str, Any]) -> list[str]:
    """Return the lines that tell a self-test's findings."""
    from xbench.report.numbers import ratio_text
    from xbench.result import Interval

    cost, same = document["overhead_ns"], document["aa"]
    ratio = ratio_text(Interval(**same["ratio"])) if same["ratio"] else "no ratio"
    share = document["parent_cpu_share"]
    lines = [
        f"overhead  {cost['total']:.0f} ns an inference, {cost['in_sample']:.0f} ns of it inside "
        "the sample",
        f"          (a bare timed Python loop: {cost['bare_loop']:.0f} ns)",
        f"itself    {same['backend']} against itself: {ratio}, {same['verdict']}",
        f"parent    {'not measured' if share is None else f'{format_share(share)} of a core'}"
        " while workers measured",
    ]
    return [*lines, *_judgement(same["verdict"])]


def _judgement(verdict: str) -> tuple[str, ...]:
    if verdict not in _DECIDED:
        return ()
    return (
        "",
        "A difference was found where there is none: distrust comparisons on this machine now.",
        "Close what else runs on it, then repeat with a longer --time-budget.",
    )
