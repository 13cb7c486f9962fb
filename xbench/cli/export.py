"""`xbench export`: any model that xbench takes, as an ONNX file."""

from __future__ import annotations

from xbench.cli import options
from xbench.cli.compare import shapes
from xbench.cli.options import DEFAULT

EXAMPLES = """\b
Examples:
  xbench export mobilenet_v2 --out mobilenet_v2.onnx
  xbench export my_package:make_model -o mine.onnx
  xbench export transformers:DistilBertModel -o distilbert.onnx
  xbench export model.keras -o model.onnx
  xbench export module.pt --trust --shape x=1x3x224x224 -o module.onnx

\b
A factory is a function without arguments. It returns (module, example_inputs) for
PyTorch, with the names of open axes as a third part if wanted:
{"tokens": {0: "batch", 1: "sequence"}}; or a Keras model.
The file is checked, and its outputs agree with the model's on seeded inputs.
"""


def export(
    target: options.Target,
    out: options.OnnxFile,
    shape: options.Shapes = None,
    inputs: options.ExampleInputs = None,
    seed: options.Seed = DEFAULT.seed,
    trust: options.Trust = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Write a model as an ONNX file that agrees with it."""
    lengths = shapes(shape or [])
    from xbench.catalog import export as export_model
    from xbench.cli.progress import watched
    from xbench.source import Terms

    terms = Terms(trusted=trust, shapes=lengths, inputs=inputs)
    with watched(quiet=no_progress) as progress:
        written = export_model(target, out, progress, seed, terms)
    print(written)
