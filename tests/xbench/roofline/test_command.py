"""`xbench roofline`: what its options ask for, what it writes, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.xbench.graphs import linear
from xbench.cli.main import app
from xbench.errors import UsageError
from xbench.roofline import outlook as module
from xbench.roofline.ceilings import Ceilings, best_of, none_of
from xbench.roofline.outlook import Outlook, outlook
from xbench.roofline.probe import Effort

TINY = Effort(sizes=(16,), tries=2, loop_s=0.01, array_bytes=1 << 16, width=16)
CEILINGS = Ceilings(
    device="cpu",
    threads=1,
    caches_bytes=2**20,
    bandwidth=best_of({"read": [2e10]}),
    flops={"fp32": best_of({"numpy": [1e11]})},
)


class Prober:
    """Stands where the machine would be probed: hears what is wanted, answers at once."""

    def __init__(self) -> None:
        self.found = Outlook(machine="a machine", ceilings=CEILINGS)
        self.asked: dict[str, Any] = {}

    def outlook(self, model: str | None, **others: Any) -> Outlook:
        others.pop("progress").note("probing")
        self.asked = {"model": model, **others}
        return self.found


@pytest.fixture
def prober(monkeypatch: pytest.MonkeyPatch) -> Prober:
    own = Prober()
    monkeypatch.setattr(module, "outlook", own.outlook)
    return own


def roofline(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["roofline", *arguments])


def test_plain_defaults_find_fp32_with_every_backend_there_is(prober: Prober) -> None:
    assert roofline().exit_code == 0
    assert prober.asked == {
        "model": None,
        "threads": None,
        "device": "cpu",
        "precisions": ("fp32",),
        "backends": ("all",),
        "batch": None,
        "shapes": {},
    }


def test_every_option_arrives(prober: Prober) -> None:
    line = "m.onnx --threads 1 --precision fp32,int8 --backends openvino --batch 8"
    assert roofline(*line.split(), "--shape", "ids=8x16").exit_code == 0
    assert prober.asked == {
        "model": "m.onnx",
        "threads": 1,
        "device": "cpu",
        "precisions": ("fp32", "int8"),
        "backends": ("openvino",),
        "batch": 8,
        "shapes": {"ids": (8, 16)},
    }
    assert roofline("--backends", "none").exit_code == 0
    assert prober.asked["backends"] == ()


def test_a_limit_that_was_not_found_ends_with_one(prober: Prober) -> None:
    flops = {"fp32": CEILINGS.flops["fp32"], "fp16": none_of("nobody computes in it")}
    prober.found = Outlook(
        machine=None,
        ceilings=Ceilings(
            device="cpu",
            threads=1,
            caches_bytes=None,
            bandwidth=CEILINGS.bandwidth,
            flops=flops,
        ),
    )
    done = roofline("--precision", "fp32,fp16")
    assert done.exit_code == 1
    assert "nobody computes in it" in " ".join(done.stdout.split())


def test_the_document_goes_where_it_is_asked_to(prober: Prober, tmp_path: Path) -> None:
    target = tmp_path / "limits.json"
    assert roofline("--json", str(target)).exit_code == 0
    assert json.loads(target.read_text()) == prober.found.to_json()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--precision", "fp33"), "no precision 'fp33'"),
        (("m.onnx", "--batch", "1,8"), "one batch size"),
        (("--batch", "8"), "of a model"),
        (("--shape", "x=1x2"), "of a model"),
        (("--backends", ","), "names none"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_probed(
    prober: Prober, arguments: tuple[str, ...], words: str
) -> None:
    done = roofline(*arguments)
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)
    assert prober.asked == {}


def test_real_limits_of_a_real_model(tmp_path: Path) -> None:
    """A product of 2 x 4 x 8: its operations over NumPy's rate, for all of it stays in caches."""
    found = outlook(str(linear(tmp_path)), threads=1, backends=(), batch=2, effort=TINY)
    assert found.exit_status == 0
    assert found.ceilings.threads == 1
    assert found.work is not None
    assert found.work.flops == 2 * 2 * 4 * 8
    told, peak = found.floors["fp32"], found.ceilings.flops["fp32"].per_s
    assert peak is not None
    assert told["floor_ns"] == pytest.approx(128 / peak * 1e9)
    assert (told["bound"], told["share"]) == ("compute", None)


def test_the_command_loads_nothing_heavy_for_its_help() -> None:
    script = (
        "import sys; import xbench.cli.roofline; "
        "print([name for name in ('numpy', 'onnx', 'psutil') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
