"""The tools that runs are handed to, by the names that `--to` takes, and what each asks for.

Plain data and text: the command line imports it before anything heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from xbench.errors import UnknownNameError, UsageError


class Target(StrEnum):
    """What a run can be handed to."""

    MLFLOW = "mlflow"
    TENSORBOARD = "tensorboard"
    GITHUB = "github-action-benchmark"
    BENCHER = "bencher"
    MLPERF = "mlperf-system"


FOLDERS = frozenset({Target.TENSORBOARD, Target.GITHUB})
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a run goes.

    Attributes:
        place: A folder, a file or ``-``; or the URI of MLflow.
        experiment: Of MLflow.
    """

    target: Target
    place: str
    experiment: str = ""


def parse_destination(to: str, out: str, tracking_uri: str, experiment: str) -> Destination:
    """Return where a run goes, from what the command line was given.

    Args:
        to: The target's name.
        out: A file, a folder or ``-``; empty where none was named.
        tracking_uri: Of the option, else of MLflow's own variable in the environment.
        experiment: MLflow's; empty where none was named.

    Raises:
        UsageError: If an option is missing, or has nothing to do with the target.
    """
    try:
        target = Target(to)
    except ValueError:
        known = tuple(one.value for one in Target)
        raise UnknownNameError("target", to, known, "xbench publish --help") from None
    if target is Target.MLFLOW:
        if out:
            raise UsageError("--out is not for mlflow", "Name the server with --tracking-uri")
        if not tracking_uri:
            fix = "Add --tracking-uri sqlite:///mlflow.db, or a server's address"
            raise UsageError(f"mlflow needs --tracking-uri, or {TRACKING_VARIABLE} set", fix)
        return Destination(target=target, place=tracking_uri, experiment=experiment)
    if experiment:
        raise UsageError("--experiment is for mlflow alone", "Leave it out")
    if not out:
        example = "--out FOLDER" if target in FOLDERS else "--out FILE, where - is stdout"
        raise UsageError(f"{target} needs a place to write to", f"Add {example}")
    if out == "-" and target in FOLDERS:
        raise UsageError(f"{target} takes a folder, not stdout", "Add --out FOLDER")
    return Destination(target=target, place=out)
