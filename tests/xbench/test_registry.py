"""Backend names to adapters: what is found, what is refused, and what a broken plug-in does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.adapter import Adapter, Limits
from xbench.errors import BackendUnavailableError, UnknownNameError
from xbench.registry import (
    TEST_VARIABLE,
    BackendInfo,
    backend_names,
    create,
    expand,
    listing,
    parse_backend,
    precisions,
)

OURS = ("onnxruntime", "openvino", "pytorch", "tensorflow", "keras", "litert", "tensorrt")

Plugin = Callable[[str, str], str]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Return what installs a plug-in: a module, and a distribution with an entry point for it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, source: str) -> str:
        module = f"plugin_{name}_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(source)
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[xbench.adapters]\n{name} = {module}:Mine\n")
        return module

    return install


SOUND = """
from xbench.testing import NullAdapter
class Mine(NullAdapter):
    variants = {"": "as it is", "fast": "faster", "secret": "for tests"}
    hidden = frozenset({"secret"})
"""

OF_ITS_OWN_FORM = """
from xbench.testing import NullAdapter
class Mine(NullAdapter):
    takes_onnx = False
    variants = {"": "as it is", "small": "in one byte"}
    precisions = {"small": "int8"}
"""

OF_A_GPU = """
from xbench.testing import NullAdapter
class Mine(NullAdapter):
    kinds = frozenset({"cuda"})
"""

BROKEN = {
    "raises": "raise RuntimeError('no such library\\nsecond line')",
    "exits": "import sys; sys.exit(7)",
    "misses": "import a_module_that_nobody_has",
    "syntax": "def :",
    "empty": "",
    "wrong_type": "class Mine:\n    def __init__(self, variant): pass",
    "not_callable": "Mine = 3",
    "constructor": "class Mine:\n    def __init__(self, variant): raise OSError('libfoo.so')",
}


def _info(name: str) -> BackendInfo:
    return next(info for info in listing() if info.name == name)


def test_our_adapters_come_first() -> None:
    assert backend_names()[: len(OURS)] == OURS


def test_what_runs_no_onnx_stands_in_all_for_models_of_its_own_form_only(plugin: Plugin) -> None:
    plugin("own", OF_ITS_OWN_FORM)
    for every in ("all", "all+"):
        assert "own" not in expand([every])
        assert "own" not in expand([every], "another")
        assert "own" in expand([every], "own")
    assert expand(["own"]) == ("own",)  # who names it gets its row, which says why it is not ok


def test_what_is_made_for_other_devices_is_left_out_of_all(plugin: Plugin) -> None:
    plugin("own", OF_A_GPU)
    assert "own" not in expand(["all"])
    assert "own" in expand(["all"], device="cuda:1")
    assert "tensorrt" in expand(["all"], device="cuda:0")
    assert "openvino" not in expand(["all"], device="cuda:0")


def test_a_variant_may_be_of_one_precision(plugin: Plugin) -> None:
    plugin("own", OF_ITS_OWN_FORM)
    plugin("broken", "raise RuntimeError")
    assert precisions(["onnxruntime", "own", "own:small", "broken"]) == {"own:small": "int8"}


def test_others_follow_by_the_alphabet(plugin: Plugin) -> None:
    plugin("zebra", SOUND)
    plugin("aardvark", SOUND)
    names = backend_names()
    assert names[: len(OURS)] == OURS
    assert list(names[len(OURS) :]) == sorted(names[len(OURS) :])
    assert {"aardvark", "zebra"} <= set(names)


@pytest.mark.parametrize(
    "backend", ["onnxruntime", "onnxruntime:reference", "openvino", "pytorch:compile"]
)
def test_an_adapter_is_created_by_name(backend: str) -> None:
    adapter = create(backend)
    assert isinstance(adapter, Adapter)
    assert adapter.name == parse_backend(backend)[0]


@given(st.text(st.characters(exclude_characters=":")), st.text())
def test_a_backend_is_split_at_its_first_colon(name: str, variant: str) -> None:
    assert parse_backend(f"{name}:{variant}") == (name, variant)
    assert parse_backend(name) == (name, "")


@given(
    st.text(min_size=1).filter(lambda name: parse_backend(name)[0] not in (*OURS, "all", "all+"))
)
def test_a_name_that_nobody_has_is_refused(name: str) -> None:
    with pytest.raises(UnknownNameError):
        expand([name])
    with pytest.raises(UnknownNameError):
        create(name)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("onxruntime", "onnxruntime"), ("pytorch:compil", "pytorch:compile"), ("torch", "pytorch")],
)
def test_a_near_miss_is_told_what_was_meant(asked: str, meant: str) -> None:
    with pytest.raises(UnknownNameError) as raised:
        expand([asked])
    assert raised.value.suggestion == meant
    assert "xbench backends" in str(raised.value)


def test_all_is_the_default_variant_of_each_that_runs_onnx_on_cpus() -> None:
    assert expand(["all"]) == tuple(n for n in backend_names() if n not in {"keras", "tensorrt"})


def test_all_plus_is_every_public_variant(plugin: Plugin) -> None:
    plugin("mine", SOUND)
    everything = expand(["all+"])
    assert {"mine", "mine:fast", "pytorch", "pytorch:compile"} <= set(everything)
    assert not {"mine:secret", "onnxruntime:reference"} & set(everything)


def test_a_backend_that_is_named_twice_stays_twice() -> None:
    """It is to be compared with itself."""
    assert expand(["onnxruntime", "onnxruntime"]) == ("onnxruntime", "onnxruntime")


def test_a_baseline_before_all_is_not_repeated() -> None:
    assert expand(["openvino", "all"])[:3] == ("openvino", "onnxruntime", "pytorch")


def test_a_hidden_variant_works_and_is_not_shown(plugin: Plugin) -> None:
    plugin("mine", SOUND)
    assert create("mine:secret").prepare(Limits(1))
    assert dict(_info("mine").variants) == {"": "as it is", "fast": "faster"}


def test_a_listing_says_who_provides_a_backend(plugin: Plugin) -> None:
    module = plugin("mine", SOUND)
    assert _info("mine").distribution == module
    assert _info("openvino").distribution == "xbench"


def test_no_plug_in_takes_the_name_of_ours(plugin: Plugin) -> None:
    """A row called onnxruntime is xbench's, whatever else is installed."""
    plugin("onnxruntime", SOUND)
    assert _info("onnxruntime").distribution == "xbench"
    assert backend_names().count("onnxruntime") == 1


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plug_in_is_an_unavailable_row(plugin: Plugin, fault: str) -> None:
    """Whatever it raises, it has a reason, stays in `all`, and the others are not affected."""
    plugin("broken", BROKEN[fault])
    with pytest.raises(BackendUnavailableError) as raised:
        create("broken")
    assert raised.value.backend == "broken"
    assert "\n" not in raised.value.reason
    found = _info("broken").availability
    assert found.reason
    assert found.fix
    assert "broken" in expand(["all"])
    assert "broken" in expand(["all+"])
    assert expand(["broken:variant"]) == ("broken:variant",)
    assert _info("onnxruntime").availability.reason is None


def test_a_plug_in_that_cannot_say_whether_it_runs_is_unavailable(plugin: Plugin) -> None:
    plugin("mute", f"{SOUND}\n    def available(self): return 'yes'\n")
    plugin("loud", f"{SOUND}\n    def available(self): raise SystemExit('no licence')\n")
    assert "not an Availability" in (_info("mute").availability.reason or "")
    assert "no licence" in (_info("loud").availability.reason or "")


def test_what_a_plug_in_prints_stays_out_of_stdout(
    plugin: Plugin, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--json -` writes one document, and nothing else."""
    plugin("chatty", f"print('hello')\n{SOUND}")
    expand(["all+"])
    listing()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "hello" in printed.err


def test_test_adapters_exist_only_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TEST_VARIABLE, raising=False)
    with pytest.raises(UnknownNameError):
        create("faulty:raise-load")
    monkeypatch.setenv(TEST_VARIABLE, "1")
    assert expand(["null", "busy:1020", "faulty:raise-load"]) == (
        "null",
        "busy:1020",
        "faulty:raise-load",
    )
    assert create("null").prepare(Limits(1))
    assert not {"null", "busy", "faulty"} & {*expand(["all+"]), *backend_names()}


def test_the_parent_imports_no_framework() -> None:
    """Expanding, listing and creating every adapter costs none of them."""
    code = (
        "import sys\n"
        "from xbench.registry import create, expand, listing\n"
        "for name in expand(['all+']): create(name)\n"
        "listing()\n"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'openvino', 'torch', 'tensorflow'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
