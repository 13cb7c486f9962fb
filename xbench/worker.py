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
from pathlib import Path
from time import process_time_ns
from typing import Any, BinaryIO

from xbench.bench import Bench
from xbench.errors import (
    BackendUnavailableError,
    DeviceMemoryError,
    UnsupportedNodeError,
    UsageError,
    XbenchError,
)
from xbench.result import Status
from xbench.wire import Message, decode, encode

DEVICE_OUT_OF_MEMORY = (
    "CUDA out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "cudaErrorMemoryAllocation",
)
NO_KERNEL = (
    "could not create a primitive",  # oneDNN, for a type or an operator that this CPU has not
    "not implemented for 'BFloat16'",
    "not implemented for 'Half'",
)
OUT_OF_MEMORY = ("bad_alloc", "allocate memory", "Cannot allocate", "not enough memory")


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
    elif any(sign in text for sign in NO_KERNEL):
        status, fix = Status.UNSUPPORTED, "Ask for another precision, or leave this row out"
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
