"""The roofline: the least time that a device's peak figures allow for an inference.

S. Williams, A. Waterman, D. Patterson, "Roofline: An Insightful Visual Performance Model for
Multicore Architectures", Communications of the ACM 52(4), 2009: arithmetic and memory traffic
overlap at best, so the slower of the two decides.

What comes out is computed from peak figures and was measured nowhere; real runs take longer,
often several times. It is a floor for the arithmetic and the traffic that are given: a
convolution by Winograd's method multiplies less than its direct form, and what stays in a cache
from one inference to the next does not come from memory.
"""

from __future__ import annotations

import math

from xbench.errors import UnknownNameError
from xbench.profiles.model import Accelerator, Profile


def peak_per_s(
    profile: Profile, precision: str, *, threads: int | None = None, accelerator: str | None = None
) -> float | None:
    """Return the peak arithmetic in operations a second, dense; None where it is not told.

    Args:
        profile: The device.
        precision: Such as ``fp32`` or ``int8``; a multiply-add counts as two operations.
        threads: The cores that compute, the fastest first; those of the profile by default.
        accelerator: The name of one of the profile's accelerators, instead of the CPU.

    Raises:
        UnknownNameError: If the device has no such accelerator.
    """
    if accelerator is not None:
        return _accelerator(profile, accelerator).dense_per_s.get(precision)
    most = profile.threads if threads is None else min(threads, profile.threads)
    return profile.cpu.peak_per_s(precision, most)


def ridge_flop_per_byte(
    profile: Profile, precision: str, *, threads: int | None = None, accelerator: str | None = None
) -> float | None:
    """Return the arithmetic intensity at which memory and arithmetic take equally long.

    In operations for each byte; below it memory bounds a model, above it arithmetic does.
    None where the peak or the bandwidth is not told.
    """
    peak = peak_per_s(profile, precision, threads=threads, accelerator=accelerator)
    bandwidth = profile.memory.bandwidth_bytes_per_s
    return None if peak is None or bandwidth is None else peak / bandwidth


def floor_latency_s(
    profile: Profile,
    flops: float,
    bytes_moved: float,
    precision: str,
    *,
    threads: int | None = None,
    accelerator: str | None = None,
) -> float | None:
    """Return the least latency in seconds: the larger of arithmetic and memory traffic.

    ``max(flops / peak, bytes_moved / bandwidth)``, after Williams, Waterman and Patterson (2009).
    None where the peak for the precision or the bandwidth is not told.

    Args:
        profile: The device.
        flops: Operations of one inference; a multiply-add is two.
        bytes_moved: Bytes that one inference reads from and writes to memory.
        precision: Of the arithmetic.
        threads: The cores that compute; those of the profile by default.
        accelerator: The name of one of the profile's accelerators, instead of the CPU.
    """
    if not (0 <= flops < math.inf and 0 <= bytes_moved < math.inf):
        raise ValueError(f"need finite amounts from 0 up, got {flops=} and {bytes_moved=}")
    peak = peak_per_s(profile, precision, threads=threads, accelerator=accelerator)
    bandwidth = profile.memory.bandwidth_bytes_per_s
    if peak is None or bandwidth is None:
        return None
    return max(flops / peak, bytes_moved / bandwidth)


def _accelerator(profile: Profile, name: str) -> Accelerator:
    for accelerator in profile.accelerators:
        if accelerator.name == name:
            return accelerator
    known = tuple(accelerator.name for accelerator in profile.accelerators)
    raise UnknownNameError("accelerator", name, known, f"xbench profiles {profile.name}")
