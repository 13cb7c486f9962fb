"""One adapter with one model in a worker, from import to the last epoch: a method a job."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter, process_time_ns
from types import TracebackType
from typing import Self

from xbench.adapter import Adapter, BoundModel, Checks, Converts, Limits, Session
from xbench.boundaries import enter, split, timed
from xbench.load.sessions import Repeated, Sessions
from xbench.measure import Runs, measure, overhead_ns, thread_cpus, warm_up
from xbench.telemetry.memory import HostMemory
from xbench.wire import Message, limits_from_json, model_from_json

STEADY_RUNS = 8  # untimed, for what inference holds: buffers that take turns have had theirs
STEADY_S = 1.0
LEAST_RUNS = 2  # of every stream and batch size, before any is timed


class Bench:
    """What a worker does, and what it keeps between jobs."""

    def __init__(self) -> None:
        self.adapter: Adapter
        self.session: Session
        self.sessions: Sessions
        self.timed: Runs
        self.boundary = "host"
        self.load_s = 0.0
        self.memory = HostMemory()
        self.memory.end("interpreter")

    def prepare(self, job: Message) -> Message:
        """Import the framework and set its process-wide limits."""
        from xbench.registry import create

        self.adapter = create(job["backend"])
        start = perf_counter()
        version = self.adapter.prepare(limits_from_json(job["limits"]))
        import_s = perf_counter() - start
        self.memory.end("import")
        return {"version": version, "import_s": import_s}

    def check(self, job: Message) -> Message:
        """Raise what loading the model would; without a check of the adapter's own, by loading."""
        model, limits = _asked(job)
        if isinstance(self.adapter, Checks):
            self.adapter.check(model, limits, job["precision"])
            return {"how": "checked"}
        self.adapter.load(model, limits, job["precision"]).close()
        return {"how": "loaded"}

    def convert(self, job: Message) -> Message:
        """Make the form that the adapter keeps of the model at every size, where it has its own."""
        if isinstance(self.adapter, Converts):
            for model in _models(job).values():
                self.adapter.convert(model, _asked(job)[1], job["precision"])
        return {}

    def load(self, job: Message) -> Message:
        """Load the model, for every stream and at every batch size, and run it once."""
        from xbench.inputs import load_feeds

        feeds = {1: load_feeds(Path(job["feeds"]))}
        feeds |= {one["batch"]: load_feeds(Path(one["feeds"])) for one in job["sizes"]}
        self.memory.end("inputs")  # the harness's own: no cost of the model
        if isinstance(self.adapter, Converts):
            self.convert(job)
            self.memory.end("convert")
        start = perf_counter()
        self.session = self._open(job, 1)
        self.load_s = perf_counter() - start
        self.sessions = Sessions(self._streams(job, list(feeds)), feeds)
        self.memory.end("load")
        self.boundary = job["boundary"]
        enter(self.session, self.boundary)
        self.sessions.bind(0)
        (first_ns,) = measure(self.session, 1)
        self.timed = Repeated(self.session, job["repeats"]) if job["repeats"] > 1 else self.session
        self.memory.end("first")
        return {"first_inference_ns": first_ns}

    def _streams(self, job: Message, sizes: list[int]) -> list[dict[int, Session]]:
        """Return the sessions of every stream, by size; the first one is loaded already."""
        return [
            {size: self._open(job, size) if stream or size > 1 else self.session for size in sizes}
            for stream in range(job["streams"])
        ]

    def _open(self, job: Message, size: int) -> Session:
        return self.adapter.load(_models(job)[size], _asked(job)[1], job["precision"])

    def reload(self, job: Message) -> Message:
        """Load the model at another batch in place of what is loaded, and warm it up."""
        self.session.close()
        self.load(job)
        return {"settled_ns": warm_up(self.session, job["max_s"]).settled_ns}

    def warm_up(self, job: Message) -> Message:
        """Warm up to the steady state; read back the caps, what is held, the harness's own cost."""
        from xbench.testing import NullSession

        start = perf_counter()
        warm = warm_up(self.session, job["max_s"])
        warmup_s = perf_counter() - start
        self.memory.end("warm")
        self.sessions.settle(LEAST_RUNS)
        self._run_steadily()
        self.memory.end("steady")
        return {
            "memory": self.memory.told(),
            "warmup_s": warmup_s,
            "warmup_inferences": len(warm.latencies_ns),
            "settled_ns": warm.settled_ns,
            "steady": warm.steady,
            "busy_threads": warm.busy_threads,
            "cpus": list(thread_cpus()),
            "overhead_ns": overhead_ns(NullSession()),
        }

    def look(self, _: Message) -> Message:
        """Ask the session about itself; last, as looking may take memory that running does not."""
        facts = self.session.facts()
        within_s = 0.0 if isinstance(self.adapter, Converts) else facts.convert_s or 0.0
        return {
            "load_s": self.load_s - within_s,
            "facts": asdict(facts),
            "boundaries_ns": split(self.session, self.sessions.feeds[1][0], self.boundary),
        }

    def _run_steadily(self) -> None:
        """Run as an epoch does, so that only what inference itself holds is in its peak."""
        start = perf_counter()
        for _ in range(STEADY_RUNS):
            self.session.run()
            self.session.synchronize()
            if perf_counter() - start > STEADY_S:
                return

    def epoch(self, job: Message) -> Message:
        """Time one epoch on one input set; the runs that settle the caches come first, untimed."""
        self._settle(job)
        with _Spent() as spent:
            latencies_ns = timed(self.timed, job["iterations"], self.boundary)
        return {"latencies_ns": latencies_ns, **spent.told()}

    def loop(self, job: Message) -> Message:
        """Let every stream run for so many seconds, each its next inference after its last."""
        from xbench.load.closed_loop import closed_loop

        self._settle(job)
        with _Spent() as spent:
            found = closed_loop(self.sessions.runs, job["seconds"])
        return {"latencies_ns": [ns for one in found.latencies_ns for ns in one], **spent.told()}

    def serve(self, job: Message) -> Message:
        """Serve the requests of one window; latencies count from when each was due."""
        from xbench.load.account import latencies_ns
        from xbench.load.arrivals import schedule_ns
        from xbench.load.open_loop import Batching, serve
        from xbench.load.scenario import parse_scenario

        load = parse_scenario(job["scenario"])
        self._settle(job)
        schedule = schedule_ns(load, job["seconds"], job["seed"]) or [round(1e9 / load.rate_per_s)]
        with _Spent() as spent:
            served = serve(self.sessions.runs, schedule, Batching(load.max_batch, load.wait_ns))
        told = {**served.to_json(), "rate_per_s": load.rate_per_s}
        own = {"latencies_ns": latencies_ns(served), "served": told}
        return {**own, **spent.told()}

    def _settle(self, job: Message) -> None:
        self.sessions.bind(job["feed"])
        self.sessions.settle(job["settle"])

    def run_for(self, job: Message) -> Message:
        """Run back to back for so many seconds, on the inputs that are bound; once at least."""
        if len(self.sessions.streams) > 1:
            return {"inferences": self._loop_for(job["seconds"])}
        inferences, end = 0, perf_counter() + job["seconds"]
        while not inferences or perf_counter() < end:
            self.session.run()
            self.session.synchronize()
            inferences += 1
        return {"inferences": inferences}

    def _loop_for(self, seconds: float) -> int:
        from xbench.load.closed_loop import closed_loop

        return sum(map(len, closed_loop(self.sessions.runs, seconds).latencies_ns))

    def outputs(self, job: Message) -> Message:
        """Keep the outputs of the last timed inference where the parent finds them."""
        from xbench.inputs import save_feeds

        outputs = dict(self.sessions.at(job["stream"], job["size"]).outputs())
        try:
            save_feeds(Path(job["path"]), (outputs,))
        except OSError as error:  # a full disk is no fault of the backend
            return {"lost": error.strerror}
        return {"lost": None}

    def close(self, _: Message) -> Message:
        """Give everything back."""
        self.session.close()
        return {}


class _Spent:
    """The wall and CPU time of what is done within."""

    def __enter__(self) -> Self:
        self._cpu_ns, self._start = process_time_ns(), perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wall_ns = int((perf_counter() - self._start) * 1e9)
        self._cpu_ns = process_time_ns() - self._cpu_ns

    def told(self) -> Message:
        """Return both, in nanoseconds."""
        return {"wall_ns": self._wall_ns, "cpu_ns": self._cpu_ns}


def _models(job: Message) -> dict[int, BoundModel]:
    """Return the model at every size, by how many requests one of its inferences takes."""
    sizes = {one["batch"]: model_from_json(one["model"]) for one in job["sizes"]}
    return {1: _asked(job)[0], **sizes}


def _asked(job: Message) -> tuple[BoundModel, Limits]:
    """Return the model and the limits of a job; the user's own code can be imported then."""
    from xbench.source import FORMS

    model = model_from_json(job["model"])
    if model.native and FORMS[model.native.form].from_here:
        sys.path.append(str(Path.cwd()))  # last: nothing there stands in for a package
    return model, limits_from_json(job["limits"])
