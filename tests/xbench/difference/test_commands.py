"""`xbench diff` and `xbench baseline`: what they find, print and end with."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from tests.xbench.difference.simulated import Machine, document
from xbench import seal
from xbench.cli.diff import EXAMPLES
from xbench.cli.main import app
from xbench.errors import UsageError

XBENCH = (sys.executable, "-c", "from xbench.cli.main import main; main()")
P50_NS = [1e6, 2e6, 3e6, 4e6]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store of twelve runs, the last of which has a row that is 8 % slower."""
    folder = tmp_path / "runs"
    folder.mkdir()
    for number in range(12):
        own = [1 + 0.001 * ((number + row) % 3) for row in range(4)]
        if number == 11:
            own[2] *= 1.08
        save(folder, f"run-{number:02d}", [a * b for a, b in zip(P50_NS, own, strict=True)])
    return folder


def save(folder: Path, name: str, p50_ns: list[float], shapes: object = None, **host: Any) -> Path:
    path = folder / name
    path.mkdir()
    told = document(p50_ns, name, **host)
    told["spec"]["shapes"] = shapes
    (path / "result.json").write_text(seal.sealed_text(told), encoding="utf-8")
    return path


def xbench(store: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--store", str(store)])


def diff(store: Path, *words: str) -> Result:
    return xbench(store, "diff", *words)


def one_line(text: str) -> str:
    return " ".join(text.split())


def problem(done: Result) -> str:
    assert isinstance(done.exception, UsageError), done.output
    assert "\n" not in str(done.exception)
    return str(done.exception)


def test_a_slow_down_is_found_said_and_ends_in_1(store: Path) -> None:
    done = diff(store, "run-00", "run-11", "--fail-if", "slower=5%")
    assert done.exit_code == 1, done.output
    assert re.search(r"Alarm: backend2 is slower by [78]\.\d%", one_line(done.output))
    assert "10 earlier runs" in one_line(done.output)
    assert max(map(cell_len, done.output.splitlines())) <= 80


def test_without_fail_if_it_is_shown_and_no_failure(store: Path) -> None:
    done = diff(store, "run-00", "run-11")
    assert done.exit_code == 0
    assert re.search(r"backend2 is slower by [78]\.\d%", one_line(done.output))
    assert "larm" not in done.output


def test_unchanged_runs_raise_no_alarm(store: Path) -> None:
    words = ("--fail-if", "slower=5%", "--fail-if", "missing", "--fail-if", "undetermined")
    done = diff(store, "run-03", str(store / "run-04"), *words)
    assert done.exit_code == 0, done.output
    assert "No row was found to be slower by 5% (4 as good as equal)" in one_line(done.output)


def test_runs_of_other_shapes_say_nothing_of_these(store: Path) -> None:
    """Whoever sweeps the length of a sequence has no machine that scatters by a factor of eight."""
    for times in (1, 2, 4, 8):
        save(store, f"x{times}", [times * one for one in P50_NS], {"x": [1, 64 * times]})
    assert diff(store, "run-00", "run-11", "--fail-if", "slower=5%").exit_code == 1


def test_a_run_is_known_by_the_name_of_its_folder(store: Path) -> None:
    """A merge may have brought a copy under another name; it keeps the id of its run."""
    shutil.copytree(store / "run-00", store / "run-00-2")
    assert diff(store, "run-00", "run-11").exit_code == 0
    assert diff(store, "run-00-2", "run-11").exit_code == 0


def test_a_document_is_compared_without_a_store(store: Path, tmp_path: Path) -> None:
    """As in CI, where two documents are all that there is."""
    places = [str(store / name / "result.json") for name in ("run-00", "run-11")]
    done = diff(tmp_path / "nothing", *places, "--fail-if", "slower=3%")
    assert done.exit_code == 1
    assert "no earlier run" in one_line(done.output)


def test_the_document_has_every_number(store: Path) -> None:
    done = diff(store, "run-00", "run-11", "--format", "json", "--fail-if", "slower=5%")
    told = json.loads(done.stdout)
    assert (told["schema"], told["exit_status"], told["earlier_runs"]) == (1, 1, 10)
    assert told["terms"]["slower_share"] == 0.05
    assert told["alarms"] == [{"row": "backend2", "reason": "slower"}]
    rows = {row["name"]: row for row in told["rows"]}
    slow = rows["backend2"]
    assert slow["slower_share"] == pytest.approx(0.08, abs=0.005)
    assert slow["ratio"]["low"] < slow["ratio"]["value"] < slow["ratio"]["high"] < 1
    assert (slow["verdict"], slow["alarm"]) == ("slower", True)
    assert rows["backend0"]["verdict"] == "tie"
    assert slow["scatter"]["runs"] == 10
    assert 0 < slow["least_found_share"] < 0.05
    assert told["moved_together"]["rows"] == 4


def test_markdown_is_a_table(store: Path) -> None:
    done = diff(store, "run-00", "run-11", "--format", "markdown", "--fail-if", "slower=5%")
    assert done.stdout.startswith("## xbench diff: toy")
    assert "| backend2 |" in done.stdout
    assert "**slower, alarm**" in done.stdout


def test_another_host_is_refused_with_the_field_and_the_word(store: Path) -> None:
    save(store, "there", P50_NS, host_id="feedbeef")
    done = diff(store, "run-00", "there", "--fail-if", "slower=5%")
    assert done.exit_code == 2
    assert "--allow host compares them" in one_line(done.output)
    assert "0123456789ab → feedbeef" in one_line(done.output)
    assert diff(store, "run-00", "there", "--allow", "host").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run-00", "nowhere"], "there is no run 'nowhere'. The store has run-11"),
        (["run-00", "run-0*"], "10 runs are called 'run-0*'"),
        (["run-00", "run-00"], "is both runs"),
        (["run-00", "run-11", "--fail-if", "slow=5%"], "--fail-if does not know 'slow=5%'"),
        (["run-00", "run-11", "--fail-if", "slower=five"], "'five' is not a share"),
        (["run-00", "run-11", "--allow", "hosts"], "--allow knows no 'hosts'"),
        (["run-00", "run-11", "--format", "html"], "there is no format 'html'"),
        (["run-00", "run-11", "--raw", "--reference", "backend0"], "--raw takes no reference"),
        (["baseline", "run-11"], "no baseline is set"),
        (["baseline", "baseline"], "both runs are the baseline"),
    ],
)
def test_wrong_usage_is_one_line_with_what_to_do(store: Path, words: list[str], said: str) -> None:
    assert said in problem(diff(store, *words))


def test_a_damaged_run_is_named(store: Path) -> None:
    file = store / "run-05" / "result.json"
    file.write_text(file.read_text().replace("3000000.0", "3100000.0"), encoding="utf-8")
    assert "damaged" in problem(diff(store, "run-00", str(file)))


def test_a_baseline_is_set_used_shown_and_cleared(store: Path) -> None:
    assert "No baseline is set" in xbench(store, "baseline", "show").output
    done = xbench(store, "baseline", "set", "run-00")
    assert "toy on this host are held against run-00" in done.output
    assert (
        "run-00\n    toy (abababababab) on 0123456789ab" in xbench(store, "baseline", "show").output
    )
    assert diff(store, "baseline", "run-11", "--fail-if", "slower=5%").exit_code == 1
    assert diff(store, "baseline", "run-04", "--fail-if", "slower=5%").exit_code == 0
    xbench(store, "baseline", "set", "run-11")
    assert "run-00" not in xbench(store, "baseline", "show").output  # one a model and host
    assert diff(store, "baseline", "run-00", "--fail-if", "slower=5%").exit_code == 0
    assert "run-11 is no baseline" in xbench(store, "baseline", "clear", "run-11").output
    assert "there is no baseline" in problem(xbench(store, "baseline", "clear", "--all"))


def test_each_host_has_a_baseline_of_its_own(store: Path) -> None:
    save(store, "there", P50_NS, host_id="feedbeef")
    save(store, "there-again", P50_NS, host_id="feedbeef")
    for name in ("run-00", "there"):
        assert xbench(store, "baseline", "set", name).exit_code == 0
    told = json.loads(diff(store, "baseline", "there-again", "--format", "json").stdout)
    assert told["first"]["run_id"] == "there"
    told = json.loads(diff(store, "baseline", "run-04", "--format", "json").stdout)
    assert told["first"]["run_id"] == "run-00"


def test_a_baseline_elsewhere_keeps_its_path(store: Path, tmp_path: Path) -> None:
    elsewhere = save(tmp_path, "main", P50_NS)
    xbench(store, "baseline", "set", str(elsewhere))
    assert diff(store, "baseline", "run-11").exit_code == 0
    (elsewhere / "result.json").unlink()
    elsewhere.rmdir()
    assert "the baseline main is not in" in problem(diff(store, "baseline", "run-11"))


def test_a_model_without_a_baseline_is_told(store: Path) -> None:
    xbench(store, "baseline", "set", "run-00")
    told = document(P50_NS, "other")
    told["model"]["sha256"] = "ef" * 32
    (store / "other.json").write_text(json.dumps(told), encoding="utf-8")
    said = problem(diff(store, "baseline", str(store / "other.json")))
    assert "no baseline is of this toy" in said
    assert "There are some of toy" in said


def test_a_damaged_list_of_baselines_is_told(store: Path) -> None:
    xbench(store, "baseline", "set", "run-00")
    file = store / "baselines.json"
    file.write_text(file.read_text().replace("run-00", "run-01"), encoding="utf-8")
    assert "baselines.json is damaged" in problem(xbench(store, "baseline", "show"))


def test_nothing_can_be_a_baseline_that_has_no_result(store: Path) -> None:
    told = document(P50_NS, "dead")
    for row in told["results"]:
        row["status"] = "crashed"
    (store / "dead.json").write_text(json.dumps(told), encoding="utf-8")
    said = problem(xbench(store, "baseline", "set", str(store / "dead.json")))
    assert "has nothing to compare with" in said


def test_baselines_that_are_set_at_once_are_all_kept(store: Path) -> None:
    """Two jobs of a continuous integration end together, each with a model of its own."""
    names = [f"model{number}" for number in range(6)]
    for name in names:
        told = json.loads(save(store, name, P50_NS).joinpath("result.json").read_text())
        told["model"]["sha256"] = name
        (store / name / "result.json").write_text(seal.sealed_text(told), encoding="utf-8")
    words = [*XBENCH, "baseline", "set", "--store", str(store)]
    jobs = [subprocess.Popen([*words, name], stdout=subprocess.DEVNULL) for name in names]
    assert [job.wait() for job in jobs] == [0] * len(names)
    told = json.loads((store / "baselines.json").read_text())
    assert sorted(one["run"] for one in told["baselines"]) == names


def test_a_full_disk_leaves_the_old_list(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xbench(store, "baseline", "set", "run-00")
    before = (store / "baselines.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert "No space left" in problem(xbench(store, "baseline", "set", "run-01"))
    assert (store / "baselines.json").read_bytes() == before


def test_names_from_outside_do_no_harm(store: Path) -> None:
    """In a backend, a version, a model and a field: no markup, no escape, no line too long."""
    bad = "<script>|\x1b[31m`" + "\u202e" + "x" * 3000
    for name in ("evil-a", "evil-b"):
        told = document(P50_NS, name, kernel=bad + name)
        told["model"]["name"] = bad
        told["results"][1] |= {"backend": bad, "label": bad, "backend_version": bad + name}
        (store / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")
    places = [str(store / f"{name}.json") for name in ("evil-a", "evil-b")]
    text = diff(store, *places).output
    assert max(map(cell_len, text.splitlines())) <= 80
    assert len(text) < 6000
    for output in (text, diff(store, *places, "--format", "markdown").output):
        assert "\x1b" not in output
        assert "\u202e" not in output
    assert "<script>" not in diff(store, *places, "--format", "markdown").output


def test_the_help_teaches_the_exit_status() -> None:
    done = CliRunner().invoke(app, ["diff", "--help"])
    assert done.exit_code == 0
    assert "1 an alarm of --fail-if" in EXAMPLES
    for word in ("--fail-if", "--allow", "--reference", "--raw", "--store", "--format"):
        assert word in done.output


def test_many_rows_are_answered(tmp_path: Path) -> None:
    """A run of 400 rows against another: every row is there, and none is an alarm."""
    folder = tmp_path / "runs"
    folder.mkdir()
    machine = Machine(rows=400, own_sd=0.002, machine_sd=0.01)
    rng = random.Random(3)
    for name in ("a", "b"):
        save(folder, name, machine.draw(rng))
    done = diff(folder, "a", "b", "--format", "json", "--fail-if", "slower=5%")
    told = json.loads(done.stdout)
    assert len(told["rows"]) == 400
    assert done.exit_code == 0
