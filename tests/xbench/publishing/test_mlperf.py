"""The description of a system: MLPerf's fields, filled where a run knows, empty and named else."""

from __future__ import annotations

from hypothesis import given

from tests.xbench.publishing.published import nasty, published
from tests.xbench.report.runs import cell, run_of, runs
from xbench.publishing import mlperf
from xbench.result import Run

GIB = 1 << 30

# SYSTEM_DESC_REQUIRED_FIELDS of mlcommons/inference, tools/submission.
REQUIRED = (
    "division submitter status system_name number_of_nodes host_processor_model_name "
    "host_processors_per_node host_processor_core_count host_memory_capacity host_storage_capacity "
    "host_storage_type accelerators_per_node accelerator_model_name accelerator_memory_capacity "
    "framework operating_system system_type other_software_stack host_processor_frequency "
    "host_processor_caches host_memory_configuration host_processor_interconnect host_networking "
    "host_networking_topology accelerator_frequency accelerator_host_interconnect "
    "accelerator_interconnect accelerator_interconnect_topology accelerator_memory_configuration "
    "accelerator_on-chip_memories cooling hw_notes sw_notes host_network_card_count "
    "system_type_detail "
)

CPU = {
    "name": "cpu",
    "model": "ACME 7",
    "reason": None,
    "details": {
        "cores": 8,
        "logical_cpus": 16,
        "online_cpus": 16,
        "max_khz": 3_600_000,
        "caches_bytes": {"L1d": 32768, "L3": 32 << 20},
    },
}
GPU = {"name": "cuda:0", "model": "ACME G1", "memory_bytes": 80 * GIB, "reason": None}


def test_the_fields_are_those_of_the_checker() -> None:
    assert sorted(mlperf.FIELDS) == sorted(REQUIRED.split())


@given(runs())
def test_every_field_is_there_as_text(run: Run) -> None:
    """A field is text, known or empty; every empty one is named in the notes."""
    found = mlperf.document(published(run))
    assert tuple(found) == mlperf.FIELDS
    for name, told in found.items():
        assert told.isprintable()
        assert told or name in found["sw_notes"]
    assert "no MLPerf result" in found["sw_notes"]


def test_what_the_run_knows_is_filled_in() -> None:
    host = {
        "devices": [CPU, GPU, {**GPU, "name": "cuda:1"}],
        "memory_bytes": {"total": 64 * GIB},
        "operating_system": "Debian 12",
        "kernel": "Linux 6.1",
        "turbo": False,
    }
    row = cell(0, "onnxruntime", 4e6, 1, backend_version="1.32.0")
    found = mlperf.document(published(run_of((row,), host=host)))
    expected = {
        "system_name": "ACME G1",
        "number_of_nodes": "1",
        "host_processor_model_name": "ACME 7",
        "host_processor_core_count": "8",
        "host_processor_frequency": "3.6 GHz",
        "host_processor_caches": "L1d: 32 KiB, L3: 32 MiB",
        "host_memory_capacity": "64 GiB",
        "accelerators_per_node": "2",
        "accelerator_model_name": "ACME G1",
        "accelerator_memory_capacity": "80 GiB",
        "framework": "onnxruntime 1.32.0",
        "operating_system": "Debian 12",
        "other_software_stack": "Linux 6.1",
        "hw_notes": "turbo: off",
        "submitter": "",
    }
    assert {name: found[name] for name in expected} == expected


def test_what_may_be_hidden_is_not_guessed() -> None:
    """Where the affinity hides CPUs, cores are unknown; without a driver, accelerators are."""
    hidden = {**CPU, "details": {**CPU["details"], "logical_cpus": 4}}  # type: ignore[dict-item]
    absent = {"name": "cuda", "model": None, "reason": "there is no NVIDIA driver"}
    found = mlperf.document(published(run_of((), host={"devices": [hidden, absent]})))
    for name in ("host_processor_core_count", "accelerators_per_node"):
        assert found[name] == ""
        assert name in found["sw_notes"]


def test_frameworks_without_a_speed_are_no_part_of_the_system() -> None:
    """A runtime whose rows are all left out is not claimed to work."""
    crashed = cell(1, "acme", backend_version="9.9")
    found = mlperf.document(
        published(run_of((cell(0, "ort", 4e6, 1, backend_version="1"), crashed)))
    )
    assert found["framework"] == "ort 1"


def test_hostile_names_are_text_on_one_line() -> None:
    assert all(told.isprintable() for told in mlperf.document(published(nasty())).values())
