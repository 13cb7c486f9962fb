"""`xbench procure`: what its options ask for, what it writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from tests.xbench.cli.test_main import one_line, xbench
from tests.xbench.procurement.market import document, host, metered, write
from tests.xbench.report.runs import NO_RAPL
from xbench.cli.main import app
from xbench.cli.procure import parse_rate, split
from xbench.errors import UsageError

PRICES = """
currency = "EUR"
date = 2026-01-31
utilisation_share = 0.5
[defaults]
energy_price_per_kwh = 0.3
pue = 1.5
[options.edge-box]
match_host_id = "0123456789ab"
capex_per_unit = 900
life_years = 4
[options.cloud]
match_device_model = "ACME GPU*"
hourly_cost_per_unit = 0.8
energy_included = true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two runs of two hosts, and prices for both."""
    (tmp_path / "prices.toml").write_text(PRICES, encoding="utf-8")
    rows = (metered(0, "onnxruntime", 5e6), metered(1, "pytorch", 20e6, energy=NO_RAPL))
    write(tmp_path / "a.json", document(*rows, run_id="a"))
    gpu = metered(0, "tensorrt", 1e6, energy=NO_RAPL)
    write(tmp_path / "b.json", document(gpu, run_id="b", host=host("feedbeef", "ACME GPU 7")))
    return tmp_path


def procure(folder: Path, *arguments: str) -> Result:
    places = [str(folder / one) if one.endswith((".json", ".toml")) else one for one in arguments]
    return CliRunner().invoke(app, ["procure", *places])


def test_two_hosts_are_priced_and_compared(folder: Path) -> None:
    done = procure(
        folder, "a.json", "b.json", "--prices", "prices.toml", "--rate", "200", "--slo", "p99=50ms"
    )
    assert done.exit_code == 0
    for part in ("edge-box", "cloud", "onnxruntime", "tensorrt", "Not priced", "costs least"):
        assert part in done.stdout
    assert max(map(cell_len, done.stdout.splitlines())) <= 80


def test_the_document_has_every_number_with_its_unit(folder: Path) -> None:
    line = "a.json b.json --prices prices.toml --rate 200/s --slo p99=50ms --max-load 60% --json -"
    done = procure(folder, *line.split())
    told = json.loads(done.stdout)
    assert (told["schema"], told["currency"]) == (1, "EUR")
    assert told["demand"]["slo"] == {"percentile": "p99", "limit_s": 0.05}
    assert told["demand"]["most_load"] == 0.6
    assert told["prices"]["date"] == "2026-01-31"
    assert [one["name"] for one in told["not_priced"]] == ["edge-box: pytorch"]
    for one in told["quotes"]:
        cost, volume = one["cost_per_million"], told["demand"]["inferences_per_year"]
        assert cost["low"] <= cost["value"] <= cost["high"]
        assert one["cost_per_year"]["value"] == pytest.approx(cost["value"] * volume / 1e6)
        assert one["cost_per_hour"]["value"] == pytest.approx(one["cost_per_year"]["value"] / 8760)
        assert one["evidence"] == "modelled"
    assert told["break_even"]["bought"] == "edge-box: onnxruntime"
    assert told["break_even"]["rented"] == "cloud: tensorrt"
    assert "costs" in done.stderr  # people read the report beside it


def test_markdown_and_json_go_to_files(folder: Path) -> None:
    line = "a.json --prices prices.toml --rate 10 --markdown"
    done = procure(folder, *line.split(), str(folder / "out.md"))
    assert done.exit_code == 0
    assert (folder / "out.md").read_text(encoding="utf-8").startswith("## xbench procure: toy")


def test_a_label_chooses_the_option(folder: Path) -> None:
    line = "--prices prices.toml --rate 10 --json -"
    told = json.loads(procure(folder, f"{folder}/a.json=cloud", *line.split()).stdout)
    assert {one["option"] for one in told["quotes"]} == {"cloud"}
    assert len(told["quotes"]) == 2  # the energy is in the price: both rows have one
    wrong = procure(folder, f"{folder}/a.json=clod", *line.split())
    assert isinstance(wrong.exception, UsageError)
    assert "Did you mean 'cloud'?" in str(wrong.exception)


def test_nothing_priced_makes_the_status_1(folder: Path) -> None:
    write(folder / "c.json", document(metered(0, "x", 5e6, energy=NO_RAPL), run_id="c"))
    done = procure(folder, "c.json", "--prices", "prices.toml", "--rate", "10")
    assert done.exit_code == 1
    assert "No row has a price" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "0"], "'0' is not a rate"),
        (["--rate", "fast"], "'fast' is not a rate"),
        (["--rate", "1", "--slo", "50ms"], "'50ms' is not a limit"),
        (["--rate", "1", "--max-load", "100%"], "'100%' is not a share"),
    ],
)
def test_wrong_usage_is_one_line_with_what_to_write(
    folder: Path, arguments: list[str], said: str
) -> None:
    done = procure(folder, "a.json", "--prices", "prices.toml", *arguments)
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)


def test_the_shell_sees_one_line_and_status_2(folder: Path) -> None:
    (folder / "bad.toml").write_text(PRICES.replace("pue", "peu"), encoding="utf-8")
    line = ["a.json", "--prices", "bad.toml", "--rate", "1"]
    done = xbench("procure", *line, cwd=folder)
    assert done.returncode == 2
    assert "bad.toml: defaults.peu is not known. Did you mean pue?" in one_line(done.stderr)


def test_help_teaches_with_an_example_and_loads_nothing_heavy() -> None:
    look = (
        "import atexit, sys\n"
        "heavy = {'numpy', 'onnx', 'scipy', 'torch', 'rich'}\n"
        "atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules))))"
    )
    done = xbench("procure", "--help", before=look)
    assert done.stdout.endswith("LOADED []\n")
    for part in ("--rate 200 --slo p99=50ms", "capex_per_unit = 900.0", "energy_included = true"):
        assert part in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path) -> None:
    there = tmp_path / "a=b"
    there.mkdir()
    assert split(str(there)) == (there, None)
    assert split(f"{there}=edge") == (there, "edge")
    assert split("run") == (Path("run"), None)
    assert parse_rate(" 1.5/s ") == 1.5
