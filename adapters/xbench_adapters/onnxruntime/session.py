"""A session at the host's arrays, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xbench.adapter import Array, Facts, Fallback
from xbench_adapters.onnxruntime import arithmetic, options
from xbench_adapters.onnxruntime.arithmetic import Arithmetic
from xbench_adapters.onnxruntime.options import ARM_BF16, CUDA, TENSORRT, Setup
from xbench_adapters.onnxruntime.plain import is_plain

NAMED_NODES = 8


class OnnxRuntimeSession:
    """One inference session: NumPy arrays in, NumPy arrays out."""

    def __init__(
        self, inner: Any, outputs: tuple[str, ...], setup: Setup, precision: str = "fp32"
    ) -> None:
        self._inner = inner
        self._names = outputs
        self._setup, self._asked = setup, precision
        self._feeds: dict[str, Array] = {}
        self._outputs: list[Array] = []

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Keep the arrays; ONNX Runtime reads them where they lie."""
        self._feeds = dict(feeds)

    def run(self) -> None:
        """Run once; each run returns new arrays, as it does for its users."""
        self._outputs = self._inner.run(self._names, self._feeds)

    def synchronize(self) -> None:
        """Do nothing: `run` returns when the outputs are there."""

    def outputs(self) -> Mapping[str, Array]:
        """Return the arrays of the last run."""
        return dict(zip(self._names, self._outputs, strict=True))

    def facts(self) -> Facts:
        """Return what the session's own options, its partition and a profile say.

        The profile is another process's. It is made where the arithmetic may be another than
        float32: where that was asked for, or where the file has casts or quantised operators.
        """
        profile, why = self._profile()
        counted = why or (profile and profile.counted)
        return Facts(
            precision=self._precision(profile),
            threads=self._inner.get_session_options().intra_op_num_threads,
            fallback=fallback(self._inner, self._setup.provider),
            allocator_bytes=self._allocator_bytes(profile),
            options={
                **self._options(profile),
                **({"arithmetic": counted} if counted else {}),
            },
        )

    def _options(self, profile: Arithmetic | None) -> dict[str, str]:  # noqa: ARG002
        """Return settings worth keeping."""
        return options.told(self._inner)

    def _profile(self) -> tuple[Arithmetic | None, str | None]:
        """Return what a profile says, or why there is none although there should be one."""
        if self._setup.provider == TENSORRT or not self._setup.optimized:
            return None, None  # an engine would be built again; a reference is no row
        wide = self._setup.provider != CUDA and self._asked == "fp32"
        if wide and is_plain(self._inner):
            return None, None
        try:
            return arithmetic.read(self._setup, self._feeds, unless_plain=wide), None
        except Exception as error:  # such as memory for a second one; the row can do without
            return None, f"not read: {str(error)[:200]}"

    def _precision(self, profile: Arithmetic | None) -> str | None:
        """Return the precision as `Facts.precision` has it."""
        if options.config(self._inner.get_session_options(), ARM_BF16) == "1":
            return None
        if profile is not None:
            return profile.precision
        return "fp32" if is_plain(self._inner) else None

    def _allocator_bytes(self, profile: Arithmetic | None) -> int | None:  # noqa: ARG002
        """Return None: the arena is in the host's memory, which the harness measures as a whole."""
        return None

    def close(self) -> None:
        """Give the session and its threads back."""
        self._inner, self._feeds, self._outputs = None, {}, []


def fallback(inner: Any, provider: str) -> Fallback | None:
    """Return the nodes that another provider was given; None where this version does not tell.

    They are counted as the graph was divided, before more of it was fused. Of a graph on a GPU
    ONNX Runtime keeps on the CPU what computes shapes; that is counted too.
    """
    if not hasattr(inner, "get_provider_graph_assignment_info"):  # since 1.24
        return None
    parts = [p for p in inner.get_provider_graph_assignment_info() if p.ep_name != provider]
    names = [node.name or node.op_type for part in parts for node in part.get_nodes()]
    where = ", ".join(sorted({part.ep_name for part in parts})) or provider
    return Fallback(len(names), tuple(names[:NAMED_NODES]), where)
