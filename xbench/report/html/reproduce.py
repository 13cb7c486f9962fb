"""The commands that measure a run, or one row of it, again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from xbench.plan import Spec
from xbench.report.load import scenario_of
from xbench.report.text import clean
from xbench.result import CellResult, Run

_AGAIN = re.compile(r"#\d+$")  # "onnxruntime#2" is the backend that was named a second time
_DEFAULT = Spec(model="", roofline=True)


def of_run(run: Run) -> str:
    """Return the command that measures the whole run again."""
    spec = run.spec
    return _command(
        spec,
        backends=spec.get("backends") or ("all",),
        device=str(spec.get("device") or "cpu"),
        batches=spec.get("batches") or (),
        precision=str(spec.get("precision") or "fp32"),
        threads=spec.get("threads"),
    )


def of_row(run: Run, cell: CellResult) -> str:
    """Return the command that measures one row again, beside the baseline that it was put to."""
    spec = run.spec
    baseline = _baseline(run, cell)
    both = [cell] if baseline is None else [baseline, cell]
    asked = [word.strip() for word in str(spec.get("precision") or "fp32").split(",")]
    own = (f"{one.precision.get('requested')}" for one in both)
    names = [_AGAIN.sub("", one.backend) for one in both]
    again = _AGAIN.search(cell.backend)
    return _command(
        spec,
        backends=names if again else _unique(names),
        device=",".join(_unique(one.device for one in both)),
        batches=(cell.batch,) if cell.batch and not scenario_of(run).decides_batch else (),
        precision=",".join(_unique(one for one in own if one in asked)) or asked[0],
        threads=spec.get("threads") if spec.get("profile") else cell.threads.get("requested"),
    )


def versions(run: Run) -> str:
    """Return the command that installs the distributions that the run was made with."""
    told = run.host.get("versions") or {}
    return clean(" ".join(["pip install", *(shlex.quote(f"{n}=={v}") for n, v in told.items())]))


def _baseline(run: Run, cell: CellResult) -> CellResult | None:
    ids = [one.baseline_id for one in run.comparisons if one.candidate_id == cell.id]
    return next((one for one in run.results if ids and one.id == ids[0]), None)


def _command(
    spec: Mapping[str, Any],
    *,
    backends: Iterable[str],
    device: str,
    batches: Iterable[int],
    precision: str,
    threads: int | None,
) -> str:
    options: list[tuple[str, Any]] = [
        ("--backends", ",".join(map(str, backends))),
        ("--device", device),
        ("--batch", ",".join(map(str, batches))),
        *(
            ("--shape", f"{n}={'x'.join(map(str, s))}")
            for n, s in (spec.get("shapes") or {}).items()
        ),
        ("--profile", spec.get("profile")),
        ("--threads", threads),
        ("--precision", precision),
        *((f"--{name}", _other(spec, name)) for name in ("scenario", "slo", "boundary")),
        ("--launches", spec.get("launches")),
        ("--precision-target", spec.get("precision_target")),
        ("--time-budget", _seconds(spec.get("time_budget_s"))),
        ("--timeout", _seconds(_other(spec, "timeout_s"))),
        ("--seed", spec.get("seed")),
        ("--inputs", spec.get("inputs")),
        ("--calibration", spec.get("calibration")),
    ]
    words = ["xbench", "compare", str(spec.get("model") or "MODEL")]
    for name, value in options:
        words += [] if value in (None, "") else [name, f"{value}"]
    quick = bool(spec.get("quick"))
    words += ["--trust"] if spec.get("trust") else []
    words += ["--quick"] if quick else []
    words += [word for name in ("energy", "roofline") for word in _whether(spec, name, quick)]
    return clean(" ".join(map(shlex.quote, words)))


def _whether(spec: Mapping[str, Any], name: str, quick: bool) -> list[str]:
    """Return the option for a part of the run, or against it, where it is not the default."""
    asked = spec.get(name)
    if asked is None or asked is not quick:
        return []
    return [f"--{name}" if asked else f"--no-{name}"]


def _other(spec: Mapping[str, Any], name: str) -> Any:
    """Return what was asked for where that is not the default."""
    value = spec.get(name)
    return None if value == getattr(_DEFAULT, name) else value


def _seconds(time_s: float | None) -> str:
    return "" if time_s is None else f"{time_s:g}s"


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
