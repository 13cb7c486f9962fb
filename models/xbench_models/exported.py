"""What is the same for every way to an ONNX file, whichever framework the model comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from xbench.errors import ModelError
from xbench_models.factory import one_line

INSIDE_BYTES = 1_500_000_000  # a protobuf ends at 2 GiB, and the graph needs some of it


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported file, and what its user should know.

    Attributes:
        path: The file; weights over 1.5 GB lie beside it.
        warnings: Each in one line.
    """

    path: Path
    warnings: tuple[str, ...]


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, its weights beside it where one file could not hold them.

    Raises:
        ModelError: If ONNX's own checker refuses what was written.
    """
    if model.ByteSize() > INSIDE_BYTES:
        beside = f"{path.name}.data"
        (path.parent / beside).unlink(missing_ok=True)  # onnx would append to it
        onnx.save(model, path, save_as_external_data=True, location=beside)
    else:
        onnx.save(model, path)
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        reason = f"the exporter wrote an invalid file: {one_line(error)}"
        raise ModelError(reason, "This is a fault of the exporter: tell its makers") from error
