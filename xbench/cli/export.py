"""`xbench export`: a known architecture, or your own, as an ONNX file."""

from __future__ import annotations

from xbench.cli import options


def export(
    target: options.Target, out: options.OnnxFile, no_progress: options.NoProgress = False
) -> None:
    """Build a model with seeded weights and write it as ONNX."""
    from xbench.catalog import export as export_model
    from xbench.cli.progress import watched

    with watched(quiet=no_progress) as progress:
        written = export_model(target, out, progress)
    print(written)
