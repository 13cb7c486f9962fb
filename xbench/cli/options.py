"""Every option's name, unit, default and help: what `--help` teaches, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from xbench.plan import PRECISIONS, Spec
from xbench.units import format_s

DEFAULT = Spec(model="", roofline=True)
QUICK: Mapping[str, Any] = {
    "launches": 2,
    "time_budget_s": 22.0,
    "precision_target": 0.05,
    "energy": False,
    "roofline": False,
}

SEARCH_BUDGET_S = 600.0  # for the largest rate of every row, one after the other

_QUICK_WORDS = (
    f"{QUICK['launches']} launches, {format_s(QUICK['time_budget_s'])}, "
    f"ratios to within {QUICK['precision_target']:.0%}, no energy, no roofline"
)

_TAKEN = (
    "An .onnx, .pt2, .keras or .tflite file, a SavedModel's folder, a name from `xbench models`, "
    "or module:factory, such as my_package:make or transformers:BertModel."
)
Model = Annotated[
    str,
    Argument(
        metavar="MODEL",
        help=_TAKEN,
        show_default=False,
    ),
]
RequiredModel = Annotated[str, Argument(metavar="MODEL", help=_TAKEN)]
Asked = Annotated[
    str,
    Option(
        metavar="NAMES",
        help="Whom to ask, by commas, as in `xbench backends`. `all` is every backend, `all+` "
        "every variant too; `none` asks nobody.",
    ),
]
OneBatch = Annotated[str, Option(metavar="SIZE", help="Such as 8. Default: the model's own, or 1.")]
Backends = Annotated[
    str,
    Option(
        metavar="NAMES",
        help="Names by commas, as in `xbench backends`; the first is the baseline. "
        "`all` is every backend, `all+` every variant too.",
    ),
]
Device = Annotated[
    str,
    Option(metavar="NAME", help="cpu, cuda:0 or the start of a UUID, as in `xbench devices`."),
]
Devices = Annotated[
    str,
    Option(
        metavar="NAMES",
        help="By commas: cpu, cuda:0, a GPU's UUID or the start of one, as in `xbench devices`; "
        "`all` is every one.",
    ),
]
Batch = Annotated[str, Option(metavar="SIZES", help="Such as 1,8. Default: the model's own, or 1.")]
Shapes = Annotated[
    list[str] | None,
    Option(metavar="SHAPE", help="An input's, such as tokens=1x128; once for each input."),
]
Threads = Annotated[
    int | None,
    Option(metavar="N", min=1, help="Threads of one inference. Default: one a physical core."),
]
Profile = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="Cap this host like a small device: threads, memory and batch of one of `xbench "
        "profiles`, or of a TOML file. Rows then tell of the capped host, not of the device.",
    ),
]
Precision = Annotated[
    str,
    Option(
        metavar="NAMES",
        help=f"Of {', '.join(PRECISIONS)}, by commas. The model's file is converted to fp16, bf16 "
        "and int8 once; tf32 is for GPUs. Each row tells how far its outputs lie from fp32.",
    ),
]
Scenario = Annotated[
    str,
    Option(
        metavar="NAME",
        help="How inferences are asked for: single-stream, streams:2, multi-stream:8, offline, "
        "server:30 (requests a second; also server:30,arrivals=constant,streams=2,max_batch=8,"
        "wait=5ms), sustained:5min. See docs/load.md.",
    ),
]
SloLimit = Annotated[
    str,
    Option(
        "--slo",
        metavar="LIMIT",
        help="Such as p99=20ms: whether a server keeps it; with --scenario server and no rate, "
        "the largest rate at which it does.",
    ),
]
Boundary = Annotated[
    str,
    Option(
        metavar="NAME",
        help="Where a timed run begins and ends. host: NumPy in, NumPy out; device: inputs and "
        "outputs stay on the GPU; compute: between the GPU's own events.",
    ),
]
Launches = Annotated[
    int | None,
    Option(
        metavar="N",
        min=1,
        help=f"Most processes for one row. Default: {DEFAULT.planned_launches}, and more while "
        "intervals are wide and time is left.",
    ),
]
PrecisionTarget = Annotated[
    str,
    Option(
        metavar="SHARE",
        help="Stop when every ratio is known to within this, such as 2%. "
        f"Default: {DEFAULT.precision_target:.0%}.",
    ),
]
TimeBudget = Annotated[
    str,
    Option(
        metavar="TIME",
        help=f"To measure in, such as 90s or 5min. Default: {format_s(DEFAULT.time_budget_s)}; "
        f"{format_s(SEARCH_BUDGET_S)} to search for the largest rate.",
    ),
]
Timeout = Annotated[
    str,
    Option(
        metavar="TIME",
        help=f"For a backend to load the model. Default: {format_s(DEFAULT.timeout_s)}.",
    ),
]
Seed = Annotated[int, Option(metavar="N", help="Of inputs, weights and order.")]
Inputs = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="An .npz with your inputs, which a pickle takes as examples too. "
        "Default: seeded ones.",
    ),
]
ExampleInputs = Annotated[
    Path | None,
    Option(
        metavar="FILE", help="An .npz with example inputs, for a pickle or a .pt2 without its own."
    ),
]
Calibration = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="An .npz with inputs that a quantised variant chooses its scales by. Default: "
        "seeded ones, apart from those timed; with --inputs, those.",
    ),
]
Trust = Annotated[
    bool,
    Option(
        "--trust",
        help="Load a model that can run code: a pickle (.pt, .pth), an .h5 file, a Lambda layer, a "
        "SavedModel or .pt2 that does more than compute.",
    ),
]
Energy = Annotated[
    bool | None,
    Option(
        "--energy/--no-energy",
        help="Measure joules per inference too, where there is a meter: half a minute a row on "
        "top of the time. Default: yes, but not with --quick.",
        show_default=False,
    ),
]
Roofline = Annotated[
    bool | None,
    Option(
        "--roofline/--no-roofline",
        help="Find first what this machine reaches at the most, and tell each row's share of it: "
        "5 s, and up to 15 s for each of fp16, bf16 and int8. Default: yes, but not with --quick.",
        show_default=False,
    ),
]
Quick = Annotated[bool, Option("--quick", help=f"A first look: {_QUICK_WORDS}.")]
Out = Annotated[
    Path | None,
    Option(metavar="FOLDER", help="A new folder for the run. Default: one in xbench-runs."),
]
Resume = Annotated[
    Path | None, Option(metavar="FOLDER", help="Finish the run kept there; takes no MODEL.")
]
Json = Annotated[str, Option(metavar="FILE", help="Write the whole result as JSON; - is stdout.")]
Csv = Annotated[str, Option(metavar="FILE", help="Write a line a row as CSV; - is stdout.")]
Markdown = Annotated[str, Option(metavar="FILE", help="Write the report as Markdown; - is stdout.")]
NoProgress = Annotated[bool, Option("--no-progress", "-q", "--quiet", help="Show only the report.")]

Target = Annotated[
    str,
    Argument(
        metavar="TARGET",
        help="A name from `xbench models`; module:factory, which returns a torch.nn.Module and its "
        "example inputs, or a Keras model; transformers:CLASS; or a .pt2, .keras or .tflite "
        "file, or a SavedModel's folder.",
        show_default=False,
    ),
]
OnnxFile = Annotated[Path, Option("--out", "-o", metavar="FILE", help="The .onnx file to write.")]
Backend = Annotated[str, Option(metavar="NAME", help="The backend to compare with itself.")]
BothSides = Annotated[str, Option(metavar="MODEL", help="What both sides run.")]
SelfTestTime = Annotated[str, Option(metavar="TIME", help="To measure in, such as 90s.")]
