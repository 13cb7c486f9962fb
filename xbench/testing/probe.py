"""What only a process of its own can show: what an import loads, and how many threads work.

``python -m xbench.testing.probe QUESTION JSON`` answers with one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from xbench.adapter import BoundModel, Limits
from xbench.wire import limits_from_json, model_from_json, model_to_json

PATIENCE_S = 300
WARM_UP_S = 3.0


def foreign_modules(adapter: type[Any], variant: str) -> list[str]:
    """Return the distributions' modules that finding an adapter available loads.

    The standard library, xbench and the adapter's own package do not count.
    """
    return list(_ask("imports", _named(adapter, variant), Limits(threads=1)))


def busy_threads(
    adapter: type[Any], variant: str, model: BoundModel, feeds: Path, limits: Limits
) -> int:
    """Return how many threads do work during an inference, counted by the kernel."""
    job = _named(adapter, variant)
    job |= {"model": model_to_json(model), "feeds": str(feeds), "limits": asdict(limits)}
    return int(_ask("threads", job, limits))


def _named(adapter: type[Any], variant: str) -> dict[str, Any]:
    return {"module": adapter.__module__, "name": adapter.__qualname__, "variant": variant}


def _ask(question: str, job: dict[str, Any], limits: Limits) -> Any:
    """Return the answer of a process with the environment that a worker has."""
    from xbench.process import environment

    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-m", __name__, question, json.dumps(job)],
        env={**environment(limits), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"the process for {question!r} failed:\n{done.stderr[-4000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def _imports(job: dict[str, Any]) -> list[str]:
    before = set(sys.modules)
    adapter = getattr(import_module(job["module"]), job["name"])(job["variant"])
    adapter.available()
    roots = {name.partition(".")[0] for name in set(sys.modules) - before}
    own = {"xbench", job["module"].partition(".")[0]}
    return sorted(roots - own - sys.stdlib_module_names)


def _threads(job: dict[str, Any]) -> int:
    from xbench.inputs import load_feeds
    from xbench.measure import warm_up

    limits = limits_from_json(job["limits"])
    adapter = getattr(import_module(job["module"]), job["name"])(job["variant"])
    adapter.prepare(limits)
    session = adapter.load(model_from_json(job["model"]), limits, "fp32")
    session.bind(load_feeds(Path(job["feeds"]))[0])
    return warm_up(session, WARM_UP_S).busy_threads


if __name__ == "__main__":
    answers = {"imports": _imports, "threads": _threads}
    sys.stdout.write(f"\n{json.dumps(answers[sys.argv[1]](json.loads(sys.argv[2])))}\n")
