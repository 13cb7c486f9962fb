"""The simulated GPU driver, as the tests of telemetry have it."""

from __future__ import annotations

from tests.xbench.telemetry.conftest import nvml_library as nvml_library
from tests.xbench.telemetry.conftest import simulated_nvml as simulated_nvml
