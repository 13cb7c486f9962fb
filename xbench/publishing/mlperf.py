"""The system of a run in the fields of MLPerf's ``systems/SYSTEM.json``, where it is known.

The fields are those that ``tools/submission`` of mlcommons/inference asks for. What a run does not
tell is empty, and `sw_notes` names it: who submits fills it in. No result of xbench is a result of
MLPerf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xbench.publishing.rows import Published
from xbench.report.text import clean, listed

FIELDS = (
    *("division", "submitter", "status", "system_name", "system_type", "system_type_detail"),
    *("number_of_nodes", "host_processor_model_name", "host_processors_per_node"),
    *("host_processor_core_count", "host_processor_frequency", "host_processor_caches"),
    *("host_processor_interconnect", "host_memory_capacity", "host_memory_configuration"),
    *("host_storage_capacity", "host_storage_type", "host_networking"),
    *("host_networking_topology", "host_network_card_count", "accelerators_per_node"),
    *("accelerator_model_name", "accelerator_memory_capacity", "accelerator_frequency"),
    *("accelerator_host_interconnect", "accelerator_interconnect"),
    *("accelerator_interconnect_topology", "accelerator_memory_configuration"),
    *("accelerator_on-chip_memories", "cooling", "framework", "operating_system"),
    *("other_software_stack", "hw_notes", "sw_notes"),
)
"""What the checker asks of a system's description, in its spelling."""

_GIB = 1 << 30


def document(run: Published) -> dict[str, str]:
    """Return every field of a system's description, as text; empty where it is not known."""
    host = run.document["host"]
    known = {**_processor(host), **_accelerators(host), **_software(run, host)}
    known["number_of_nodes"] = "1"  # xbench measures one machine
    names = (known.get(name) for name in ("accelerator_model_name", "host_processor_model_name"))
    known["system_name"] = next(filter(None, names), "")
    known["hw_notes"] = _hw_notes(host)
    found = {name: clean(known.get(name) or "") for name in FIELDS}
    found["sw_notes"] = _sw_notes(run, found)
    return found


def _processor(host: Mapping[str, Any]) -> dict[str, str]:
    cpu = _device(host, "cpu")
    details = cpu.get("details") or {}
    memory_bytes = (host.get("memory_bytes") or {}).get("total")
    whole = details.get("logical_cpus") == details.get("online_cpus")  # else cores may be hidden
    return {
        "host_processor_model_name": cpu.get("model") or "",
        "host_processor_core_count": _number(details.get("cores")) if whole else "",
        "host_processor_frequency": _frequency(details.get("max_khz")),
        "host_processor_caches": ", ".join(
            f"{name}: {_size(size)}" for name, size in (details.get("caches_bytes") or {}).items()
        ),
        "host_memory_capacity": _size(memory_bytes),
    }


def _accelerators(host: Mapping[str, Any]) -> dict[str, str]:
    """Return what is known of the GPUs; nothing where none can be used, since one may be there."""
    found = [one for one in host.get("devices") or () if _is_gpu(one)]
    if not found:
        return {}
    models = dict.fromkeys(str(one.get("model") or "") for one in found)
    sizes = dict.fromkeys(_size(one.get("memory_bytes")) for one in found)
    return {
        "accelerators_per_node": str(len(found)),
        "accelerator_model_name": ", ".join(filter(None, models)),
        "accelerator_memory_capacity": ", ".join(filter(None, sizes)),
    }


def _software(run: Published, host: Mapping[str, Any]) -> dict[str, str]:
    used = dict.fromkeys(
        f"{row.settings['backend']} {row.settings['backend_version']}"
        for row in run.told
        if row.settings["backend_version"]
    )
    stack = (host.get("kernel"), host.get("libc"), host.get("python"))
    return {
        "framework": ", ".join(used),
        "operating_system": str(host.get("operating_system") or ""),
        "other_software_stack": ", ".join(str(one) for one in stack if one),
    }


def _hw_notes(host: Mapping[str, Any]) -> str:
    told = {
        "virtualisation": host.get("virtualisation"),
        "microcode": host.get("microcode"),
        "frequency governor": host.get("governor"),
        "turbo": _switch(host.get("turbo")),
        "SMT": _switch(host.get("smt")),
        **_limits(host.get("control_group") or {}),
    }
    return "; ".join(f"{name}: {clean(text)}" for name, text in told.items() if text)


def _switch(on: Any) -> str:
    return "" if on is None else ("on" if on else "off")


def _limits(group: Mapping[str, Any]) -> dict[str, str]:
    return {
        "CPUs that the control group grants": _number(group.get("cpu_quota")),
        "memory that the control group grants": _size(group.get("memory_limit_bytes")),
    }


def _sw_notes(run: Published, found: Mapping[str, str]) -> str:
    empty = [name for name in FIELDS if not found[name] and name != "sw_notes"]
    version = (run.document["host"].get("versions") or {}).get("xbench")
    return clean(
        f"Written by xbench {version or ''} from its run {run.run_id}, which is no MLPerf result. "
        f"Not known to it, and empty: {listed(empty)}."
    )


def _device(host: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    every: Iterator[Mapping[str, Any]] = iter(host.get("devices") or ())
    return next((one for one in every if one["name"] == name), {})


def _is_gpu(device: Mapping[str, Any]) -> bool:
    return device["name"] != "cpu" and device.get("model") is not None and not device.get("reason")


def _frequency(khz: Any) -> str:
    return f"{khz / 1e6:g} GHz" if khz else ""


def _number(told: Any) -> str:
    return "" if told is None else f"{told:g}"


def _size(told: Any) -> str:
    """Return bytes as GiB, MiB or KiB, whichever leaves a number above 1."""
    if not told:
        return ""
    unit, words = next(
        (one for one in ((_GIB, "GiB"), (1 << 20, "MiB")) if told >= one[0]), (1 << 10, "KiB")
    )
    return f"{told / unit:.4g} {words}"
