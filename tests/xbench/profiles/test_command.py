"""`xbench profiles` as a shell sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from xbench.profiles.shelf import shipped

from .conftest import MINIMAL

ROOT = Path(__file__).parents[3]
LOOK = """\
import atexit, sys
heavy = {'numpy', 'onnx', 'scipy', 'torch', 'rich', 'openvino', 'onnxruntime'}
atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules))))
"""


def xbench(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"{before}\nfrom xbench.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
    )


def test_the_listing_fits_and_names_every_profile() -> None:
    done = xbench("profiles", before=LOOK)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, lines)) <= 80
    for profile in shipped():
        assert any(line.startswith(f"{profile.name} ") for line in lines), profile.name
    assert "rpi5 is rpi5-8gb" in done.stdout
    assert lines[-1] == "LOADED []"


def test_one_profile_is_shown_with_all_its_sources() -> None:
    """Every figure with how sure it is, and the address of each source in one piece."""
    done = xbench("profiles", "rpi5")
    assert done.returncode == 0
    assert "4 x Cortex-A76 at 2.4 GHz (datasheet)" in done.stdout
    assert "32 bit x 4267 MT/s = 17.07 GB/s" in done.stdout
    assert "(measured-elsewhere)" in done.stdout
    [profile] = [each for each in shipped() if each.name == "rpi5-8gb"]
    for source in [*profile.sources, *profile.cpu.clusters[0].sources]:
        assert source.url in done.stdout.split()
    long = [line for line in done.stdout.splitlines() if len(line) > 80]
    assert all(line.strip().startswith("https://") for line in long)


def test_dense_and_sparse_figures_are_both_shown() -> None:
    text = " ".join(xbench("profiles", "jetson-orin-nano-8gb").stdout.split())
    assert "dense fp32 1.28 TFLOPS, fp16 10 TFLOPS, int8 20 TOPS; sparse int8 40 TOPS" in text


def test_the_users_profiles_are_marked(own: Path) -> None:
    (own / "a.toml").write_text(MINIMAL)
    (own / "b.toml").write_text(MINIMAL.replace("mine", "rpi5-8gb"))
    done = xbench("profiles")
    assert f"Yours: mine, from {own / 'a.toml'}\n" in done.stdout
    assert f"rpi5-8gb, from {own / 'b.toml'}, instead of the one that xbench ships" in done.stdout


def test_the_document_has_null_for_what_is_not_told() -> None:
    document = json.loads(xbench("profiles", "--json", "-").stdout)
    by_name = {each["name"]: each for each in document["profiles"]}
    assert document["schema"] == 1
    assert len(by_name) == len(shipped())
    assert by_name["rpi4b-4gb"]["peak_per_s"]["fp32"] == 57.6e9
    assert by_name["rpi4b-4gb"]["peak_per_s"]["fp16"] is None
    assert by_name["2-core-1GB"]["memory"]["bandwidth_bytes_per_s"] is None
    assert by_name["2-core-1GB"]["memory_cap_bytes"] == 2**30
    assert by_name["n100-8gb"]["checked"] == "2026-11-26"


def test_a_mistake_is_one_line_and_2(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(MINIMAL.replace("count", "cuont"))
    for name, said in (("rpi6", "Did you mean"), (str(tmp_path / "p.toml"), "clusters[0].cuont")):
        done = xbench("profiles", name)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr


def test_the_help_teaches_how_to_write_one(tmp_path: Path) -> None:
    """What it shows as the least profile is one."""
    text = xbench("profiles", "--help").stdout
    assert max(map(len, text.splitlines())) <= 80
    shown = text[text.index('name = "mine"') :]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(line.strip() for line in shown.splitlines()))
    assert xbench("profiles", str(path)).stdout.startswith("name    mine: My board")
