"""What a model may be given as: told by its name, and by what lies there."""

from __future__ import annotations

from pathlib import Path

import pytest

from xbench.errors import ModelError
from xbench.source import FORMS, SUFFIXES, Terms, find_source


@pytest.mark.parametrize(("suffix", "form"), SUFFIXES.items())
def test_a_file_is_known_by_its_suffix(tmp_path: Path, suffix: str, form: str) -> None:
    """In any case, and from wherever it is named: the target is absolute."""
    path = tmp_path / f"net{suffix.upper()}"
    path.write_bytes(b"read later")
    source = find_source(str(path), 3, Terms(trusted=True))
    assert source is not None
    assert (source.form.name, source.target, source.name) == (form, str(path), "net")
    native = source.native("keras")
    assert (native.form, native.target, native.seed, native.trusted) == (form, str(path), 3, True)


def test_a_folder_that_tensorflow_saved_is_known_by_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("saved").mkdir()
    assert find_source("saved", 0, Terms()) is None
    Path("saved/saved_model.pb").touch()
    source = find_source("saved/", 0, Terms())
    assert source is not None
    assert (source.form, source.target) == (FORMS["saved_model"], str(tmp_path / "saved"))


@pytest.mark.parametrize(
    "name", ["package.module:make", "module:Class.method", "transformers:bert"]
)
def test_a_module_and_a_name_in_it_are_a_factory(name: str) -> None:
    source = find_source(name, 0, Terms())
    assert source is not None
    assert (source.form.name, source.target, source.name) == ("factory", name, name)


@pytest.mark.parametrize(
    "name", ["model.onnx", "mobilenet_v2", "gone.keras", "C:\\models\\net.pt2", "a:b:c", ""]
)
def test_everything_else_is_no_source(name: str) -> None:
    assert find_source(name, 0, Terms()) is None


@pytest.mark.parametrize("form", [form for form in FORMS.values() if form.unsafe])
def test_what_may_run_code_says_how_and_what_allows_it(tmp_path: Path, form: object) -> None:
    suffix = next(suffix for suffix, name in SUFFIXES.items() if FORMS[name] is form)
    path = tmp_path / f"net{suffix}"
    path.touch()
    with pytest.raises(ModelError) as caught:
        find_source(str(path), 0, Terms())
    assert "runs" in caught.value.reason
    assert "--trust" in caught.value.fix
