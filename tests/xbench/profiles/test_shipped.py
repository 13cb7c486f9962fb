"""The shipped figures agree with what was measured and published, and say where they are from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from xbench.profiles import find_profile, peak_per_s
from xbench.profiles.model import Profile
from xbench.profiles.parts import designs
from xbench.profiles.shelf import shipped

ROOT = Path(__file__).parents[3]
NAMES = """rpi-zero-2w rpi4b-1gb rpi4b-2gb rpi4b-4gb rpi4b-8gb rpi5-2gb rpi5-4gb rpi5-8gb rpi5-16gb
jetson-nano jetson-orin-nano-4gb jetson-orin-nano-8gb jetson-orin-nano-super jetson-orin-nx-8gb
jetson-orin-nx-16gb jetson-agx-orin-32gb jetson-agx-orin-64gb rk3588-8gb imx8mp-4gb
coral-dev-board-1gb n100-8gb 1-core-512MB 2-core-1GB 2-core-2GB 4-core-4GB 4-core-8GB"""

every = pytest.mark.parametrize("profile", shipped(), ids=lambda profile: profile.name)


@pytest.mark.parametrize("name", NAMES.split())
def test_the_devices_that_people_ask_for_are_there(name: str) -> None:
    assert find_profile(name).name == name


@every
def test_each_names_its_memory_size_and_day(profile: Profile) -> None:
    """A name that ends in a size tells the truth, and all figures were checked."""
    assert profile.checked is not None
    size = profile.name.rpartition("-")[2].lower()
    if size.endswith(("gb", "mb")):
        scale = 2**30 if size.endswith("gb") else 2**20
        assert profile.memory.size_bytes == int(size[:-2]) * scale


@every
def test_each_device_tells_what_a_floor_needs(profile: Profile) -> None:
    """And a generic one does not: it is no device."""
    if profile.kind == "generic":
        assert profile.confidence is None
        assert peak_per_s(profile, "fp32") is None
        return
    assert profile.confidence is not None
    assert profile.memory.usable_bytes is not None
    assert 0.5 < profile.memory.usable_bytes / profile.memory.size_bytes < 1
    ridge = (peak_per_s(profile, "fp32") or 0) / (profile.memory.bandwidth_bytes_per_s or 1)
    assert 1 < ridge < 20  # operations a byte of all CPUs of this kind


@every
def test_what_is_not_from_a_source_says_so_and_why(profile: Profile) -> None:
    """The reader refuses a claim without a source; an estimate explains itself."""
    if profile.kind == "generic":
        return
    notes = [(profile.cpu.confidence, profile.cpu.note)]
    notes += [(profile.memory.confidence, profile.memory.note)]
    notes += [(profile.memory.usable_confidence, profile.memory.usable_note)]
    notes += [(each.confidence, each.note) for each in profile.accelerators]
    assert all(note for confidence, note in notes if confidence == "estimate")
    assert all(source.read is not None for source in profile.sources)


@pytest.mark.parametrize("design", designs().values(), ids=lambda cluster: cluster.design)
def test_each_design_has_a_measurement(design: object) -> None:
    cluster = designs()[getattr(design, "design", "")]
    assert cluster.per_cycle_confidence == "measured-elsewhere"
    assert cluster.sources
    assert cluster.per_cycle.get("fp16", 2 * cluster.per_cycle["fp32"]) == (
        2 * cluster.per_cycle["fp32"]  # lanes of half the width
    )


MEASURED = [  # design, GHz while measured, precision, giga-operations a second of one core
    ("Cortex-A53", 1.416, "fp32", 11.255),
    ("Cortex-A55", 1.8, "fp32", 14.593),
    ("Cortex-A55", 1.8, "fp16", 29.193),
    ("Cortex-A55", 1.8, "int8", 58.379),
    ("Cortex-A57", 1.428, "fp32", 11.401),
    ("Cortex-A72", 1.5, "fp32", 11.958),
    ("Cortex-A72", 2.0, "fp32", 15.875),
    ("Cortex-A76", 2.4, "fp32", 38.369),
    ("Cortex-A76", 2.4, "fp16", 76.738),
    ("Cortex-A76", 2.4, "int8", 153.48),
    ("Cortex-A78AE", 2.208, "fp32", 35.243),
    ("Cortex-A78AE", 2.208, "fp16", 70.483),
    ("Gracemont", 3.4, "fp32", 54.247),
    ("Gracemont", 3.4, "int8", 108.51),
]


@pytest.mark.parametrize(("design", "clock_ghz", "precision", "giga"), MEASURED)
def test_operations_a_cycle_are_what_was_measured(
    design: str, clock_ghz: float, precision: str, giga: float
) -> None:
    """Published loops reach the peak that is computed, and none exceeds it."""
    peak = designs()[design].per_cycle[precision] * clock_ghz
    assert giga == pytest.approx(peak, rel=0.02)


@pytest.mark.parametrize(
    ("name", "precision", "giga"),
    [
        ("rpi5", "fp32", 153.5),
        ("rpi5", "fp16", 306.98),
        ("rpi5", "int8", 614.02),
        ("rk3588", "fp32", 58.261 + 150.15),
        ("rk3588", "int8", 233.08 + 602.22),
    ],
)
def test_all_cores_together_are_what_was_measured(name: str, precision: str, giga: float) -> None:
    peak = peak_per_s(find_profile(name), precision)
    assert peak == pytest.approx(giga * 1e9, rel=0.02)


@pytest.mark.parametrize("name", ["rpi4b", "rpi-zero-2w", "jetson-nano", "imx8mp"])
def test_cores_without_the_instructions_have_no_figure_for_them(name: str) -> None:
    """No half-precision arithmetic before ARMv8.2, and no dot products of bytes."""
    profile = find_profile(name)
    assert peak_per_s(profile, "fp16") is None
    assert peak_per_s(profile, "int8") is None


@pytest.mark.parametrize(
    ("name", "dense", "sparse"),
    [  # of the whole module, in TOPS, as NVIDIA gives them
        ("jetson-orin-nano-4gb", 10, 20),
        ("jetson-orin-nano-8gb", 20, 40),
        ("jetson-orin-nano-super", 33.5, 67),
        ("jetson-orin-nx-8gb", 35, 70),
        ("jetson-orin-nx-16gb", 50, 100),
        ("jetson-agx-orin-32gb", 100, 200),
        ("jetson-agx-orin-64gb", 137.5, 275),
    ],
)
def test_dense_and_sparse_are_told_apart(name: str, dense: float, sparse: float) -> None:
    """GPU and DLA add up to the module's figure; the advertised one is the sparse one."""
    accelerators = find_profile(name).accelerators
    assert sum(a.dense_per_s["int8"] for a in accelerators) == pytest.approx(dense * 1e12)
    assert sum(a.sparse_per_s["int8"] for a in accelerators) == pytest.approx(sparse * 1e12)


@pytest.mark.parametrize(("name", "tera"), [("coral-dev-board", 4), ("rk3588", 6), ("imx8mp", 2.3)])
def test_the_edge_accelerators_compute_int8_only(name: str, tera: float) -> None:
    [accelerator] = find_profile(name).accelerators
    assert accelerator.dense_per_s == {"int8": pytest.approx(tera * 1e12)}


@pytest.mark.parametrize(
    ("name", "giga"),
    [
        ("rpi-zero-2w", 3.6),
        ("rpi4b", 12.8),
        ("rpi5", 17),
        ("jetson-nano", 25.6),
        ("jetson-orin-nano-4gb", 34),
        ("jetson-orin-nano-8gb", 68),
        ("jetson-orin-nano-super", 102),
        ("jetson-orin-nx-16gb", 102),
        ("jetson-agx-orin-64gb", 204.8),
        ("rk3588", 33.8),
        ("imx8mp", 16),
        ("n100", 38.4),
    ],
)
def test_bandwidths_are_those_that_are_published(name: str, giga: float) -> None:
    found = find_profile(name).memory.bandwidth_bytes_per_s
    assert found == pytest.approx(giga * 1e9, rel=0.01)


def test_the_wheel_carries_the_profiles() -> None:
    """Else an installed xbench would have none."""
    builder = WheelBuilder(str(ROOT))
    packed = {file.distribution_path for file in builder.recurse_included_files()}
    data = sorted((ROOT / "xbench" / "profiles" / "data").glob("*.toml"))
    assert len(data) >= 18
    assert {f"xbench/profiles/data/{path.name}" for path in data} <= packed
    assert "xbench/profiles/designs.toml" in packed
