"""Models by name or path: plug-ins, the cache, and builds that fail, stop or are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xbench.catalog import cards, export, resolve
from xbench.errors import InterruptedRunError, ModelError, UnknownNameError, UsageError, XbenchError
from xbench.modelcache import IN_USE_S, MOST_KEPT, cache_folder, key
from xbench.progress import Silent
from xbench.source import Terms, factory

ROOT = Path(__file__).parents[2]
CARDS = """
from xbench.catalog import ModelCard

def card(name):
    return ModelCard(name=name, summary="a test", factory=f"tiny_models.recipes:{name}",
                     symbols={"batch": 1})

CARDS = [card(name) for name in ("tiny", "sleeper", "crasher", "exiter", "refuser")]
WRONG_NAME = [card("../../escape")]
WRONG_TYPE = ["tiny"]
SAME_NAME = [ModelCard(name="tiny", summary="another", factory="tiny_models.recipes:sleeper")]
"""
RECIPES = """
import os, signal, sys, time
from pathlib import Path

import torch

def note():
    with open(os.environ["TINY_LOG"], "a") as log:
        log.write(f"{os.getpid()}\\n")

def tiny():
    note()
    return torch.nn.Linear(4, 3), (torch.randn(2, 4),)

def sleeper():
    note()
    time.sleep(600)

def crasher():
    os.kill(os.getpid(), signal.SIGSEGV)

def exiter():
    print("last words", file=sys.stderr, flush=True)
    os._exit(7)

def refuser():
    raise RuntimeError("no weights today")
"""
POINTS = """[xbench.models]
tiny = tiny_models.cards:CARDS
absent = tiny_models.nowhere:CARDS
leaver = tiny_models.leaver:CARDS
wrong-name = tiny_models.cards:WRONG_NAME
wrong-type = tiny_models.cards:WRONG_TYPE
twice = tiny_models.cards:SAME_NAME
not-a-list = tiny_models.cards:card
"""
BROKEN = {"absent", "leaver", "wrong-name", "wrong-type", "not-a-list", "twice"}
RESOLVE = """
import sys
from xbench.catalog import resolve
from xbench.progress import Silent
print(resolve(sys.argv[1], 0, Silent()).path)
"""


class Heard(Silent):
    """A progress that keeps what it hears."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def phase(self, text: str) -> None:
        """Keep the phase."""
        self.phases.append(text)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of an installed plug-in; the cache is a new folder beside it."""
    site, package = tmp_path / "site", tmp_path / "site" / "tiny_models"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cards.py").write_text(CARDS)
    (package / "recipes.py").write_text(RECIPES)
    (package / "leaver.py").write_text("raise SystemExit('goodbye')")
    metadata = site / "tiny_models-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-models\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(site)
    roots = [str(site), str(ROOT), str(ROOT / "adapters"), str(ROOT / "models")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(roots))
    monkeypatch.setenv("XBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TINY_LOG", str(tmp_path / "log"))
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "tiny_models"]:
        del sys.modules[name]


def builders(plugin: Path) -> list[int]:
    """Return the process id of each build that came as far as its recipe."""
    log = plugin.parents[1] / "log"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def folders(plugin: Path) -> list[str]:
    """Return the folders in the cache, complete or not."""
    models = cache_folder() / "models"
    return sorted(p.name for p in models.iterdir() if p.is_dir()) if models.exists() else []


def wait_until_building(plugin: Path) -> int:
    """Return the process id of the build, once it is in its recipe."""
    deadline = time.monotonic() + 60
    while not builders(plugin):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return builders(plugin)[-1]


def assert_gone(pid: int) -> None:
    """Return once a process has ended."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":  # dead, and nobody in this container collects it
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} is still there")


def test_a_broken_plug_in_is_a_card_that_says_why(plugin: Path) -> None:
    found = cards()
    assert {name for name, card in found.items() if card.broken} == BROKEN
    assert all("broken" in found[name].summary for name in BROKEN)
    assert found["tiny"].summary == "a test"
    with pytest.raises(ModelError, match="absent is not available"):
        resolve("absent", 0, Silent())


def test_the_catalogue_loads_no_framework(plugin: Path) -> None:
    code = "import sys, xbench.catalog as c; c.cards(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "torch", "onnx", "transformers"} & set(done.stdout.split())


def test_a_model_is_built_once(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time there is not even an interpreter that could be started."""
    heard = Heard()
    first = resolve("tiny", 0, heard)
    assert first.path.is_file()
    assert (first.name, dict(first.symbols)) == ("tiny", {"batch": 1})
    assert len(heard.phases) == 1

    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert resolve("tiny", 0, heard) == first
    assert len(heard.phases) == 1
    assert folders(plugin) == [first.path.parent.name]


def test_another_seed_or_source_is_another_model(plugin: Path) -> None:
    target = "tiny_models.recipes:tiny"
    before = key(factory(target, 0), ())
    assert key(factory(target, 0), ()) == before
    assert key(factory(target, 1), ()) != before
    assert key(factory(target, 0), ("numpy",)) != before
    (plugin / "recipes.py").write_text(RECIPES + "\n# changed")
    assert key(factory(target, 0), ()) != before


def test_two_that_want_the_same_model_build_it_once(plugin: Path) -> None:
    command = [sys.executable, "-c", RESOLVE, "tiny"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(printed) == 1
    assert len(builders(plugin)) == 1


def test_a_killed_command_takes_its_build_along(plugin: Path) -> None:
    """And what it left is removed by the next build."""
    command = subprocess.Popen([sys.executable, "-c", RESOLVE, "sleeper"])
    build = wait_until_building(plugin)
    command.kill()
    command.wait()
    assert_gone(build)
    made = resolve("tiny", 0, Silent())
    assert folders(plugin) == [made.path.parent.name]


def test_a_command_that_is_interrupted_leaves_nothing(plugin: Path) -> None:
    command = subprocess.Popen([sys.executable, "-c", RESOLVE, "sleeper"], stderr=subprocess.PIPE)
    build = wait_until_building(plugin)
    command.send_signal(signal.SIGINT)
    _, said = command.communicate()
    assert b"KeyboardInterrupt" in said
    assert_gone(build)
    assert folders(plugin) == []


def test_a_request_to_stop_ends_the_build(plugin: Path) -> None:
    readable, writable = os.pipe()
    os.write(writable, b"!")
    with pytest.raises(InterruptedRunError):
        resolve("sleeper", 0, Silent(), wake_fd=readable)
    os.close(readable)
    os.close(writable)
    assert folders(plugin) == []


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("crasher", "SIGSEGV"),
        ("exiter", "exit status 7 .last words."),
        ("refuser", "RuntimeError: no weights today"),
    ],
)
def test_a_build_that_fails_says_why_and_leaves_nothing(
    plugin: Path, model: str, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        resolve(model, 0, Silent())
    assert folders(plugin) == []


def test_a_cache_that_cannot_be_written_says_what_to_set(
    plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XBENCH_CACHE", str(plugin / "cards.py"))
    with pytest.raises(ModelError, match="Set XBENCH_CACHE"):
        resolve("tiny", 0, Silent())


def test_without_the_frameworks_the_command_that_installs_them_is_given(plugin: Path) -> None:
    """In an interpreter that has none of them: -S leaves site-packages out."""
    command = [sys.executable, "-S", "-c", RESOLVE, "tiny"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert "ModelError" in last
    assert "torch" in last
    assert "pip install 'xbench[models]'" in last


def test_a_factory_of_this_folder_is_exported(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("from tiny_models.recipes import tiny as make")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "mine.onnx"
    assert export("mine:make", out, Silent()) == out
    assert resolve(str(out), 0, Silent()).path == out
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_an_export_that_cannot_be_written_says_so(plugin: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be written"):
        export("tiny", tmp_path / "no" / "such" / "m.onnx", Silent())
    with pytest.raises(ModelError, match="is a folder"):
        export("tiny", tmp_path, Silent())
    with pytest.raises(ModelError, match="cannot be read: File name too long"):
        export("n" * 5000, tmp_path / "m.onnx", Silent())
    with pytest.raises(UsageError, match="takes no others"):
        export("tiny", tmp_path / "m.onnx", Silent(), terms=Terms(shapes={"input": (3, 4)}))
    with pytest.raises(UnknownNameError, match="Did you mean 'tiny'"):
        export("tinny", tmp_path / "m.onnx", Silent())


def test_a_path_is_returned_as_it_is(plugin: Path, tmp_path: Path) -> None:
    path = tmp_path / "my model.onnx"
    path.write_bytes(b"whatever: it is read later")
    found = resolve(str(path), 0, Silent())
    assert (found.path, found.name, dict(found.symbols)) == (path, "my model", {})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("weights.safetensors", "weights without the model.*function of yours"),
        ("graph.pb", "the folder that it lies in"),
        ("script.PY", "Python code"),
        ("folder", "is a folder.*Give the file in it: .*model.onnx"),
        ("empty", "is a folder.*Give the path of"),
        ("pipe", "not a regular file"),
        ("missing.onnx", "no such file.*xbench models"),
        ("no/such", "no such file"),
        ("n" * 5000, "cannot be read: File name too long"),
    ],
)
def test_what_is_no_onnx_file_is_told_with_what_to_do(
    plugin: Path, tmp_path: Path, name: str, said: str
) -> None:
    for file in ("weights.safetensors", "graph.pb", "script.PY"):
        (tmp_path / file).touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "model.onnx").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match=said):
        resolve(str(tmp_path / name), 0, Silent())


@pytest.mark.parametrize("name", ["module.pt", "module.PTH", "module.pkl", "model.h5"])
def test_what_may_run_code_is_refused_unread_with_the_flag_that_allows_it(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """There is not even an interpreter that could read it."""
    (tmp_path / name).write_bytes(b"whatever")
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(ModelError, match=r"code|pickle.*add --trust"):
        resolve(str(tmp_path / name), 0, Silent())
    with pytest.raises(ModelError, match="add --trust"):
        export(str(tmp_path / name), tmp_path / "m.onnx", Silent())
    with pytest.raises(ModelError, match=r"nonexistent|No such file"):  # it would be read now
        resolve(str(tmp_path / name), 0, Silent(), terms=Terms(trusted=True))


def test_the_users_own_factory_is_exported_once_for_each_content(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what it reads: here, a file that no source names."""
    monkeypatch.chdir(tmp_path)
    Path("scale.txt").write_text("1.0")
    Path("mine.py").write_text(
        "import torch\n"
        "from pathlib import Path\n"
        "def make():\n"
        "    module = torch.nn.Linear(4, 3)\n"
        "    module.weight.data *= float(Path('scale.txt').read_text())\n"
        "    return module, (torch.randn(2, 4),)\n"
    )
    first = resolve("mine:make", 0, Silent())
    assert first.name == "mine:make"
    assert first.native is not None
    assert (first.native.framework, first.native.target) == ("pytorch", "mine:make")
    written = first.path.stat().st_mtime_ns
    assert resolve("mine:make", 0, Silent()) == first
    assert first.path.stat().st_mtime_ns == written
    Path("scale.txt").write_text("2.0")
    assert resolve("mine:make", 0, Silent()).path != first.path
    assert resolve("mine:make", 1, Silent()).path != first.path
    assert len(folders(plugin)) == 3


def test_a_file_of_the_same_content_is_converted_once(plugin: Path, tmp_path: Path) -> None:
    """Wherever it lies; another shape, or what it is allowed to do, is another model."""
    from torch import nn

    path, copy = tmp_path / "net.pt", tmp_path / "copy" / "net.pt"
    torch.save(nn.Linear(4, 3), path)
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    terms = Terms(trusted=True, shapes={"input": (2, 4)})
    first = resolve(str(path), 0, Silent(), terms=terms)
    assert resolve(str(copy), 0, Silent(), terms=terms).path == first.path
    wider = Terms(trusted=True, shapes={"input": (2, 5, 4)})
    assert resolve(str(path), 0, Silent(), terms=wider).path != first.path
    assert [first.name, first.framework] == ["net", "pytorch"]


def test_a_name_keeps_so_many_models(plugin: Path, tmp_path: Path) -> None:
    """Whoever changes a model all day does not fill the disk; what may be in use stays."""
    models = cache_folder() / "models"
    old = [f"tiny-{place:020x}" for place in range(MOST_KEPT + 5)]
    for place, name in enumerate(old):
        (models / name).mkdir(parents=True)
        os.utime(models / name, (time.time() - 2 * IN_USE_S - place,) * 2)
    others = {f"tiny-{1:020x}-{1:020x}", "tiny-large"}
    for name in others:
        (models / name).mkdir()
        os.utime(models / name, (0, 0))
    resolve("tiny", 0, Silent())
    kept = set(folders(plugin))
    assert others < kept
    assert len(kept - others) == MOST_KEPT
    assert set(old[: MOST_KEPT - 1]) < kept


def test_a_file_that_cannot_be_read_is_no_fault_of_the_cache(plugin: Path, tmp_path: Path) -> None:
    terms = Terms(inputs=tmp_path / "typo.npz")
    (tmp_path / "net.pt2").write_bytes(b"read later")
    with pytest.raises(ModelError, match=r"typo\.npz cannot be read"):
        resolve(str(tmp_path / "net.pt2"), 0, Silent(), terms=terms)


def test_what_a_factory_prints_is_not_taken_for_the_builds_own_words(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much it prints, and whatever."""
    monkeypatch.chdir(tmp_path)
    Path("loud.py").write_text(
        "import sys, torch\n"
        "def make():\n"
        "    print('content: 42\\nframework: keras\\n' + 'x' * 200_000, file=sys.stderr)\n"
        "    return torch.nn.Linear(4, 3), (torch.randn(2, 4),)\n"
    )
    found = resolve("loud:make", 0, Silent())
    assert found.framework == "pytorch"
    assert len(found.path.parent.name.rpartition("-")[2]) >= 20


def test_nothing_beside_a_file_stands_in_for_a_package(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was downloaded may hold more than the model."""
    program = torch.export.export(torch.nn.Linear(4, 3), (torch.randn(2, 4),))
    torch.export.save(program, tmp_path / "net.pt2")
    monkeypatch.chdir(tmp_path)
    for name in ("torch", "numpy", "onnx", "json"):
        Path(f"{name}.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    export("net.pt2", Path("net.onnx"), Silent())
    assert Path("net.onnx").exists()
    assert not Path("ran").exists()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_no_name_leads_anywhere_else_than_to_one_clear_error(name: str) -> None:
    """Whatever is typed: control characters, NUL, dots, slashes, nothing at all."""
    if name in cards() or Path(name.replace("\0", "")).exists():
        return
    with pytest.raises(XbenchError) as caught:
        resolve(name, 0, Silent())
    assert isinstance(caught.value, ModelError | UnknownNameError)


def test_the_folders_of_the_cache_follow_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XBENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/cache")
    assert cache_folder() == Path("/some/cache/xbench")
    for ignored in ("", "relative/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder() == Path.home() / ".cache" / "xbench"
