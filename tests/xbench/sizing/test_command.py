"""`xbench size`: what its options ask for, what it refuses, what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.xbench.cli.test_main import xbench
from xbench.cli.main import app
from xbench.errors import UsageError


def size(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["size", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "0", "--slo", "p99=50ms"], "'0' is not a rate"),
        (["--rate", "1", "--slo", "50ms"], "'50ms' is not a limit"),
        (["--rate", "1", "--slo", "p99=1s", "--profiles", "rpi55"], "there is no profile 'rpi55'"),
        (["--rate", "1", "--slo", "p99=1s", "--profiles", ","], "--profiles names none"),
        (["--rate", "1", "--slo", "p99=1s", "--precision", "fp32,int8"], "of one precision"),
        (["--rate", "1", "--slo", "p99=1s", "--backends", "nobody"], "'nobody'"),
        (["--rate", "1", "--slo", "p99=1s", "--json", "no/such/folder/x"], "does not exist"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_measured(
    tiny_model: Path, arguments: list[str], said: str
) -> None:
    done = size(str(tiny_model), *arguments)
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)


@pytest.mark.usefixtures("test_adapters")
def test_the_document_is_written_and_kept_beside_the_runs(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xbench.cli.size.effort", _hurried)
    line = "--rate 5 --slo p99=100ms --profiles 1-core-512MB --backends busy --quick -q --json -"
    done = size(str(tiny_model), *line.split(), "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["profiles"][0]["verdict"] == "fits here, capped"
    assert told["profiles"][0]["best"]["here"]["evidence"] == "capped"
    assert told["measured"][0]["rows"][0]["caps"].startswith("host, capped to 1 thread and 512 M")
    assert json.loads((tmp_path / "out" / "sizing.json").read_text()) == told
    assert "5 a second" in done.stderr  # people read the report beside it


def _hurried(*_: Any) -> dict[str, Any]:
    return {"quick": True, "launches": 2, "time_budget_s": 3.0, "roofline": False, "energy": False}


def test_help_teaches_with_examples_and_loads_nothing_heavy() -> None:
    look = (
        "import atexit, sys\n"
        "heavy = {'numpy', 'onnx', 'scipy', 'torch', 'rich'}\n"
        "atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules))))"
    )
    done = xbench("size", "--help", before=look)
    assert done.stdout.endswith("LOADED []\n")
    for part in ("--slo p99=50ms --rate 30", "fits here, capped", "does not fit"):
        assert part in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
