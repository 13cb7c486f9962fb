"""Whether the outputs of timed inferences agree with a reference, and whether that means anything.

No BLAS is called from here: see `xbench.stats`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from xbench.adapter import Array
from xbench.deviation import VANISHING, deviation, extent
from xbench.result import Parity

TOLERANCE = {
    "fp32": 1e-3,
    "tf32": 2e-2,
    "fp16": 2e-2,
    "bf16": 1.5e-1,
    "int8": 2.5e-1,
}
"""Most that an output may differ, as a share of the reference's largest magnitude in it.

``fp32``: on six models from an LSTM to ResNet-50, ONNX Runtime with and without optimisation and
OpenVINO differ by 5e-7 to 1.2e-4, and OpenVINO's bf16 from all of them by 8e-3 to 6e-1. The
tolerance stands eight times away from both.
``bf16``: 1.5e-1 is what the models measured above stay within, but for the two of more than fifty
random layers, which lose all digits and ought to fail.
``tf32`` and ``fp16``: three more bits of fraction, so an eighth of that.
``int8``: calibrated scales keep about two digits of the larger values; quality is a question
of its own, and this only tells a broken model from a quantised one.
"""

ALIKE = TOLERANCE["fp32"]
"""A share of an output's scale. What moves less than this would agree whatever a backend did."""

_GRAVITY = ("agrees", "not_checked", "degenerate", "disagrees")


def compare_outputs(
    reference: Mapping[str, Array], outputs: Mapping[str, Array], precision: str
) -> Parity:
    """Return whether the outputs on one input set agree with the reference's.

    Floating-point outputs may differ by the tolerance of ``precision``, a key of `TOLERANCE`;
    all elements but the largest thousandth by the same share of a smaller scale, so that a few
    huge ones excuse little. What is infinite or not a number must be so in the same places.
    Whole numbers, truth values and text must be the same. That holds for the index of a maximum
    too, though two equal maxima may trade places: the row says how many differ, the user judges.
    """
    tolerance = TOLERANCE[precision]
    if reason := _mismatch(reference, outputs):
        return Parity("disagrees", worst_output=reason[0], reason=reason[1], structural=True)
    found = [_judge(name, reference[name], outputs[name], tolerance) for name in reference]
    if not found:
        return Parity("not_checked", reason="the model has no outputs")
    return agreement(found)


def agreement(per_feed: Sequence[Parity]) -> Parity:
    """Return the worst of several: of outputs, of input sets or of launches."""
    if not per_feed:
        return Parity("not_checked", reason="no outputs were kept")
    worst = max(per_feed, key=lambda one: (_GRAVITY.index(one.status), one.max_rel or 0.0))
    return replace(
        worst,
        max_abs=max((one.max_abs for one in per_feed if one.max_abs is not None), default=None),
        max_rel=max((one.max_rel for one in per_feed if one.max_rel is not None), default=None),
        cosine=min((one.cosine for one in per_feed if one.cosine is not None), default=None),
        structural=any(one.structural for one in per_feed),
    )


def degenerate(outputs_by_feed: Sequence[Mapping[str, Array]]) -> str | None:
    """Return why agreement with these reference outputs would mean nothing, or None.

    One output that carries information is enough: it depends on most of the model.
    """
    dead = dead_outputs(outputs_by_feed)
    names = [name for outputs in outputs_by_feed[:1] for name in outputs]
    if not names or len(dead) < len(names):
        return None
    whys = [f"output {name!r} {why}" for name, why in list(dead.items())[:3]]
    more = f", and {len(dead) - 3} more are no better" if len(dead) > 3 else ""
    return "; ".join(whys) + more


def dead_outputs(outputs_by_feed: Sequence[Mapping[str, Array]]) -> dict[str, str]:
    """Return the outputs that carry no information, each with what it does, such as ``vanishes``.

    Args:
        outputs_by_feed: The reference's outputs, by name, for each of several different inputs.
    """
    names = [name for outputs in outputs_by_feed[:1] for name in outputs]
    whys = {name: _dead([outputs[name] for outputs in outputs_by_feed]) for name in names}
    return {name: why for name, why in whys.items() if why}


def _mismatch(
    reference: Mapping[str, Array], outputs: Mapping[str, Array]
) -> tuple[str, str] | None:
    """Return the first output whose name, shape or type is not the reference's, and why."""
    for name, expected in reference.items():
        found = outputs.get(name)
        if found is None:
            return name, f"output {name!r} is missing"
        if found.shape != expected.shape:
            shapes = f"{list(found.shape)}, the reference's {list(expected.shape)}"
            return name, f"the shape of output {name!r} is {shapes}"
        if found.dtype != expected.dtype:
            types = f"{found.dtype.name}, the reference's {expected.dtype.name}"
            return name, f"the type of output {name!r} is {types}"
    extra = next((name for name in outputs if name not in reference), None)
    return (extra, f"the model has no output {extra!r}") if extra is not None else None


def _judge(name: str, expected: Array, found: Array, tolerance: float) -> Parity:
    if not _numeric(expected):
        return _judge_text(name, expected, found)
    seen = deviation(expected, found)
    reason = None
    if seen.misplaced:
        reason = f"{seen.misplaced} of its elements are infinite or no numbers in one alone"
    elif _exact(expected):
        reason = f"{seen.unequal} of {expected.size} elements differ" if seen.unequal else None
    elif seen.max_rel > tolerance:
        reason = f"differs by {seen.max_rel:.1e} of its scale ({tolerance:.0e} is allowed)"
    elif seen.bulk_rel > tolerance:
        share = f"{seen.bulk_rel:.1e} of their scale"
        reason = f"its smaller elements differ by {share} ({tolerance:.0e} is allowed)"
    return Parity(
        "disagrees" if reason else "agrees",
        max_abs=seen.max_abs,
        max_rel=seen.max_rel,
        cosine=seen.cosine,
        worst_output=name,
        reason=f"output {name!r}: {reason}" if reason else None,
        structural=bool(seen.misplaced or (_exact(expected) and seen.unequal)),
    )


def _judge_text(name: str, expected: Array, found: Array) -> Parity:
    unequal = int((expected != found).sum())
    if not unequal:
        return Parity("agrees", worst_output=name)
    reason = f"output {name!r}: {unequal} of {expected.size} elements differ"
    return Parity("disagrees", worst_output=name, reason=reason, structural=True)


def _numeric(values: Array) -> bool:
    return values.dtype.kind not in "OSUT"  # text; the narrow floats of ml_dtypes are kind V


def _exact(values: Array) -> bool:
    """Return whether these are whole numbers or truth values; ml_dtypes' int4 is kind V."""
    return values.dtype.kind in "biu" or values.dtype.name.startswith(("int", "uint"))


def _dead(by_feed: Sequence[Array]) -> str | None:
    """Return what an output does that carries no information, or None."""
    if not any(values.size for values in by_feed):
        return "is empty"
    if len({values.shape for values in by_feed}) > 1:
        return None  # its shape is information
    if not _numeric(by_feed[0]):
        alike = len(by_feed) > 1 and all((one == by_feed[0]).all() for one in by_feed)
        return "is the same for every input set" if alike else None
    return _dead_numbers(by_feed)


def _dead_numbers(by_feed: Sequence[Array]) -> str | None:
    spans = [extent(values) for values in by_feed]
    if any(span.nans for span in spans):
        return "is not a number in places"
    if any(span.low > span.high for span in spans):
        return "is nowhere finite"
    low, high = min(span.low for span in spans), max(span.high for span in spans)
    scale = max(abs(low), abs(high))
    if scale < VANISHING:
        return f"vanishes (at most {scale:.0e})"
    if by_feed[0].size > 1 and high - low <= ALIKE * scale:
        return f"is constant ({high:.3g} everywhere)"
    moves = [deviation(by_feed[0], values) for values in by_feed[1:]]
    if moves and all(move.max_abs <= ALIKE * scale and not move.misplaced for move in moves):
        return "is the same for every input set"
    return None
