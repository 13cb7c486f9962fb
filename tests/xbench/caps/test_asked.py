"""A profile decides what workers may use; what cannot be held as asked is refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from xbench.adapter import Limits
from xbench.caps import asked_limits, capped_text, refuse_batches, size_text
from xbench.device import allowed_cpus
from xbench.errors import UnknownNameError, UsageError
from xbench.plan import Spec

HERE = len(allowed_cpus())


def profile(tmp_path: Path, cores: int, extra: str = "") -> str:
    path = tmp_path / "mine.toml"
    path.write_text(
        f'schema = 1\nname = "mine"\ntitle = "A board"\nkind = "generic"\n{extra}\n'
        f'[cpu]\n[[cpu.clusters]]\ncount = {cores}\n[memory]\nsize = "512 MiB"\n'
    )
    return str(path)


def test_the_profile_decides(tmp_path: Path) -> None:
    (limits,) = asked_limits(Spec(model="m", profile=profile(tmp_path, 1)))
    assert (limits.threads, len(limits.cpus), limits.memory_bytes) == (1, 1, 2**29)
    assert limits.profile == "mine"


def test_fewer_threads_may_be_asked_for_and_not_more(tmp_path: Path) -> None:
    board = profile(tmp_path, HERE + 2)
    (limits,) = asked_limits(Spec(model="m", profile=board, threads=1))
    assert limits.threads == 1
    with pytest.raises(UsageError, match=rf"mine has {HERE + 2}"):
        asked_limits(Spec(model="m", profile=board, threads=HERE + 3))


def test_more_threads_than_this_machine_has_are_refused_with_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"this process may use {HERE}") as raised:
        asked_limits(Spec(model="m", profile=profile(tmp_path, HERE + 2)))
    assert f"--threads {HERE}:" in raised.value.fix


@pytest.mark.parametrize("batches", [(16,), (1, 8, 16)])
def test_a_batch_that_the_profile_does_not_take_is_refused(
    tmp_path: Path, batches: tuple[int, ...]
) -> None:
    board = profile(tmp_path, 1, "max_batch = 8")
    spec = Spec(model="m", profile=board, batches=batches)
    with pytest.raises(UsageError, match="mine takes batches up to 8, and 16"):
        asked_limits(spec)
    refuse_batches(spec, [None, 1, 8])  # a model without a batch axis has no batch
    refuse_batches(Spec(model="m"), [2**20])


def test_a_gpu_is_not_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xbench.caps.asked.devices_of", lambda _: ("cpu", "cuda:0"))
    with pytest.raises(UsageError, match="cuda:0 has no caps"):
        asked_limits(Spec(model="m", profile=profile(tmp_path, 1), device="all"))


def test_a_name_that_there_is_not_is_told() -> None:
    with pytest.raises(UnknownNameError, match="2-core-1GB"):
        asked_limits(Spec(model="m", profile="2-core-1GBB"))


def test_without_a_profile_nothing_changes() -> None:
    (limits,) = asked_limits(Spec(model="m", threads=1))
    assert (limits.threads, limits.memory_bytes, limits.profile) == (1, None, None)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (512 * 10**6, "512 MB"),
        (2**29, "512 MiB"),
        (4 * 2**30, "4 GiB"),
        (4 * 10**9, "4 GB"),
        (3530 * 2**20, "3530 MiB"),
        (123_456_789, "118 MiB"),
    ],
)
def test_a_size_is_said_as_it_was_asked_for(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


def test_caps_in_words_name_the_host() -> None:
    words = capped_text(Limits(4, memory_bytes=4 * 10**9))
    assert words == "host, capped to 4 threads and 4 GB"
    assert capped_text(Limits(1)) == "host, capped to 1 thread"
    quota = Limits(1, memory_bytes=2**29, quota_cpus=0.5)
    assert capped_text(quota) == "host, capped to 1 thread, the time of 0.5 CPUs and 512 MiB"


def test_helpers_have_the_cpus_and_no_caps() -> None:
    """A canary or a reference is no part of the device."""
    own = Limits(1, (0,), memory_bytes=2**29, quota_cpus=0.5, profile="mine").helpers
    assert own == Limits(1, (0,))
