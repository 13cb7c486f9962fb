"""`xbench diff`: what changed from one run to another, and whether that is an alarm."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from xbench.cli.output import in_colour, terminal_width
from xbench.errors import UsageError
from xbench.units import parse_share

if TYPE_CHECKING:
    from xbench.difference.answer import Difference, Terms

EXAMPLES = """\b
Examples:
  xbench diff 20260101-120000-resnet50 20260102-120000-resnet50
  xbench baseline set 20260101-120000-resnet50
  xbench diff baseline xbench-runs/20260102-120000-resnet50
  xbench diff main.json branch.json --fail-if slower=5%
  xbench diff A B --fail-if slower=3% --fail-if missing --format markdown
  xbench diff laptop.json server.json --allow host

\b
A slow-down of 5% is found in 19 of 20 cases, and next to none is seen where
there is none, once the store holds some runs in which nothing changed: how far
they lie apart decides. Several rows in a run tell what the machine did by
itself; that is taken out. docs/diff.md says how.

\b
Exit status: 0 no alarm; 1 an alarm of --fail-if; 2 nothing could be compared,
or wrong usage.
"""

STORE = Path("xbench-runs")
FORMATS = ("text", "markdown", "json")
RUN_HELP = (
    "A run folder, a document of --json, a name in the store, or `baseline` for the run that "
    "`xbench baseline set` named."
)

First = Annotated[str, Argument(metavar="A", help=RUN_HELP)]
Second = Annotated[str, Argument(metavar="B", help="The same: the later run.")]
Store = Annotated[Path, Option(metavar="FOLDER", help="Where runs are kept.")]
FailIf = Annotated[
    list[str] | None,
    Option(
        metavar="WHAT",
        help="slower=5%: a row is surely slower, and by about that; a row that no longer runs "
        "counts too. undetermined: a row is not decided. missing: a row of the first run is not "
        "in the second. May be given again.",
    ),
]
Allow = Annotated[
    list[str] | None,
    Option(
        metavar="FIELDS",
        help="By commas, what may differ: model, shapes, host, hardware, power, cpus, precision, "
        "batch, threads, scenario, boundary, profile, or all.",
    ),
]
Reference = Annotated[
    list[str] | None,
    Option(
        metavar="NAME",
        help="A row that is known not to have changed, by its backend; may be given again. "
        "Default: those of the same version where another's is new, or all.",
    ),
]
Raw = Annotated[
    bool, Option("--raw", help="Leave in what all rows did together; for a machine of your own.")
]
Format = Annotated[str, Option(metavar="NAME", help=f"One of {', '.join(FORMATS)}.")]


def diff(
    first: First,
    second: Second,
    fail_if: FailIf = None,
    allow: Allow = None,
    reference: Reference = None,
    raw: Raw = False,
    store: Store = STORE,
    format: Format = "text",  # noqa: A002 -- the option's name
) -> None:
    """Show what became faster or slower from run A to run B.

    Rows are matched by backend, device, batch, threads, precision, scenario, boundary and profile.
    What differs between the runs is shown; what makes them another measurement refuses.
    """
    terms = terms_of(fail_if or (), allow or (), reference or (), raw=raw)
    if format not in FORMATS:
        raise UsageError(f"there is no format {format[:40]!r}", f"Choose {', '.join(FORMATS)}")
    from xbench.difference.stored import difference_of

    found = difference_of(first, second, store, terms)
    print(_text(found, format), end="")
    raise typer.Exit(found.exit_status)


def terms_of(
    fail_if: Iterable[str], allow: Iterable[str], reference: Iterable[str], *, raw: bool
) -> Terms:
    """Return what the options ask for.

    Raises:
        UsageError: With the word that is not understood.
    """
    from xbench.difference.answer import Terms

    asked: dict[str, Any] = {}
    for word in fail_if:
        name, equals, share = word.strip().partition("=")
        if name == "slower" and "slower" not in asked:
            asked |= {"fail_slower": True, **({"slower": parse_share(share)} if equals else {})}
        elif name in {"undetermined", "missing"} and not equals:
            asked[f"fail_{name}"] = True
        else:
            fix = "Write slower=5%, undetermined or missing, each once"
            raise UsageError(f"--fail-if does not know {word[:40]!r}", fix)
    terms = Terms(
        allowed=frozenset(_words(allow)), references=frozenset(_words(reference)), raw=raw, **asked
    )
    terms.check()
    return terms


def _words(texts: Iterable[str]) -> list[str]:
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def _text(found: Difference, name: str) -> str:
    import sys

    from xbench.difference.document import to_json
    from xbench.report import difference as report
    from xbench.report.document import to_text

    if name == "json":
        return to_text(to_json(found))
    if name == "markdown":
        return report.markdown(found)
    return report.render(found, width=terminal_width(sys.stdout), colour=in_colour(sys.stdout))
