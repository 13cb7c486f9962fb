"""The other end of the pipe: one process that measures one cell in one launch.

``python -m xbench.worker JOBS REPLIES`` reads a job a line from descriptor JOBS and
answers each with a line on descriptor REPLIES; frameworks may print on stdout and stderr
as they like. The parent has set affinity, environment and memory before the first job.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import perf_counter, process_time_ns
from typing import Any, BinaryIO

from xbench.adapter import Adapter, Array, BoundModel, Checks, Converts, Limits, Session
from xbench.boundaries import enter, split, timed
from xbench.errors import (
    BackendUnavailableError,
    DeviceMemoryError,
    UnsupportedNodeError,
    UsageError,
    XbenchError,
)
from xbench.measure import measure, overhead_ns, thread_cpus, warm_up
from xbench.result import Status
from xbench.telemetry.memory import HostMemory
from xbench.wire import Message, decode, encode, limits_from_json, model_from_json

STEADY_RUNS = 8  # untimed, for what inference holds: buffers that take turns have had theirs
STEADY_S = 1.0
DEVICE_OUT_OF_MEMORY = (
    "CUDA out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "cudaErrorMemoryAllocation",
)
OUT_OF_MEMORY = ("bad_alloc", "allocate memory", "Cannot allocate", "not enough memory")


class Bench:
    """One adapter with one model, from import to the last epoch; a method a job."""

    def __init__(self) -> None:
        self.adapter: Adapter
        self.session: Session
        self.feeds: tuple[dict[str, Array], ...]
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
        """Make the form of the model that the adapter keeps, where it has one of its own."""
        model, limits = _asked(job)
        if isinstance(self.adapter, Converts):
            self.adapter.convert(model, limits, job["precision"])
        return {}

    def load(self, job: Message) -> Message:
        """Load the model and run it once."""
        from xbench.inputs import load_feeds

        model, limits = _asked(job)
        self.feeds = load_feeds(Path(job["feeds"]))
        self.memory.end("inputs")  # the harness's own: no cost of the model
        if isinstance(self.adapter, Converts):
            self.adapter.convert(model, limits, job["precision"])
            self.memory.end("convert")
        start = perf_counter()
        self.session = self.adapter.load(model, limits, job["precision"])
        self.load_s = perf_counter() - start
        self.memory.end("load")
        self.boundary = job["boundary"]
        enter(self.session, self.boundary)
        self.session.bind(self.feeds[0])
        (first_ns,) = measure(self.session, 1)
        self.memory.end("first")
        return {"first_inference_ns": first_ns}

    def warm_up(self, job: Message) -> Message:
        """Warm up to the steady state; read back the caps, what is held, the harness's own cost."""
        from xbench.testing import NullSession

        start = perf_counter()
        warm = warm_up(self.session, job["max_s"])
        warmup_s = perf_counter() - start
        self.memory.end("warm")
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
            "boundaries_ns": split(self.session, self.feeds[0], self.boundary),
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
        self.session.bind(self.feeds[job["feed"] % len(self.feeds)])
        for _ in range(job["settle"]):
            self.session.run()
        self.session.synchronize()
        cpu_ns, start = process_time_ns(), perf_counter()
        latencies_ns = timed(self.session, job["iterations"], self.boundary)
        wall_ns, cpu_ns = int((perf_counter() - start) * 1e9), process_time_ns() - cpu_ns
        return {"latencies_ns": latencies_ns, "wall_ns": wall_ns, "cpu_ns": cpu_ns}

    def run_for(self, job: Message) -> Message:
        """Run back to back for so many seconds, on the inputs that are bound; once at least."""
        inferences, end = 0, perf_counter() + job["seconds"]
        while not inferences or perf_counter() < end:
            self.session.run()
            self.session.synchronize()
            inferences += 1
        return {"inferences": inferences}

    def outputs(self, job: Message) -> Message:
        """Keep the outputs of the last timed inference where the parent finds them."""
        from xbench.inputs import save_feeds

        outputs = dict(self.session.outputs())
        try:
            save_feeds(Path(job["path"]), (outputs,))
        except OSError as error:  # a full disk is no fault of the backend
            return {"lost": error.strerror}
        return {"lost": None}

    def close(self, _: Message) -> Message:
        """Give everything back."""
        self.session.close()
        return {}


def _asked(job: Message) -> tuple[BoundModel, Limits]:
    """Return the model and the limits of a job; the user's own code can be imported then."""
    from xbench.source import FORMS

    model = model_from_json(job["model"])
    if model.native and FORMS[model.native.form].from_here:
        sys.path.append(str(Path.cwd()))  # last: nothing there stands in for a package
    return model, limits_from_json(job["limits"])


def failure(error: BaseException) -> Message:
    """Return the status, reason and fix of what ended a job, and the node that was refused."""
    text = str(error).strip()
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no message")
    reason, fix = f"{type(error).__name__}: {line[:300]}", "The whole trace is in the log"
    status = Status.CRASHED
    if isinstance(error, XbenchError):
        reason, fix = error.reason, error.fix
    if isinstance(error, BackendUnavailableError):
        status = Status.UNAVAILABLE
    elif isinstance(error, UnsupportedNodeError | UsageError):
        status = Status.UNSUPPORTED
    elif isinstance(error, DeviceMemoryError) or any(one in text for one in DEVICE_OUT_OF_MEMORY):
        status, fix = Status.OOM_DEVICE, "Use a smaller batch, or a GPU with more memory"
    elif isinstance(error, MemoryError) or any(sign in text for sign in OUT_OF_MEMORY):
        status, fix = Status.OOM_HOST, "Use a smaller batch, or a machine with more memory"
    problem: Message = {"status": status.value, "reason": reason, "fix": fix}
    if isinstance(error, UnsupportedNodeError):
        node = {"name": error.node, "operator": error.operator}
        problem["node"] = {**node, "version": error.version, "detail": error.detail}
    return {"error": problem}


def answer(handler: Callable[[Message], Message], job: Message) -> Message:
    """Return the handler's reply, with the CPU time spent; what it raises becomes a reply too."""
    before_ns = process_time_ns()
    try:
        reply = handler(job)
        return {**reply, "spent_ns": process_time_ns() - before_ns}
    except BaseException as error:  # the worker's boundary: the parent must hear of it
        traceback.print_exc()
        sys.stderr.flush()
        return failure(error)


def serve(handlers: Any, jobs: BinaryIO, replies: BinaryIO) -> None:
    """Answer jobs until the parent closes the pipe; ``handlers`` has a method a job."""
    for line in jobs:
        job = decode(line)
        replies.write(encode(answer(getattr(handlers, job["do"]), job)))
        replies.flush()


def open_pipes(arguments: list[str]) -> tuple[BinaryIO, BinaryIO]:
    """Return the jobs and replies that the parent passed, kept from this process's children."""
    jobs, replies = (int(argument) for argument in arguments)
    os.set_inheritable(jobs, False)
    os.set_inheritable(replies, False)
    return os.fdopen(jobs, "rb"), os.fdopen(replies, "wb")


def die_with_parent() -> None:
    """Have the kernel end this process when its parent does, even by SIGKILL."""
    import ctypes
    import signal

    pr_set_pdeathsig = 1  # linux/prctl.h
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


def volunteer_for_the_oom_killer() -> None:
    """Have the kernel, when memory runs out, end this process before its parent."""
    with suppress(OSError):  # a hardened container may hide the file
        Path("/proc/self/oom_score_adj").write_text("1000")


def main() -> None:
    """Serve jobs until the parent is done, then leave without waiting for the framework."""
    die_with_parent()
    volunteer_for_the_oom_killer()
    jobs, replies = open_pipes(sys.argv[1:])
    serve(Bench(), jobs, replies)
    sys.stdout.flush()
    os._exit(0)  # some frameworks crash in their own destructors; nothing is left to save


if __name__ == "__main__":
    main()
