"""A search as text for a terminal, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xbench.caps import size_text
from xbench.report.numbers import percentile_text, ratio_text, rounded
from xbench.report.terminal import drawn
from xbench.report.text import clean, sentence, shorten
from xbench.tuning.choice import Sureness
from xbench.tuning.command import command
from xbench.tuning.goal import Aim
from xbench.tuning.judgement import State, as_ratio
from xbench.tuning.limits import Keeps, seems_to_keep
from xbench.units import format_bytes, format_s, format_share

if TYPE_CHECKING:
    from xbench.tuning.run import Tuned
    from xbench.tuning.space import Configuration

_LONGEST_NAME = 60
_SHOWN = 12
_WORDS = {Aim.THROUGHPUT: "throughput", Aim.LATENCY: "latency at p50"}


def render(found: Tuned, *, width: int = 80, colour: bool = False) -> str:
    """Return the whole answer as text, no line wider than ``width`` columns."""
    return drawn(_report(found), width=width, colour=colour)


def _report(found: Tuned) -> RenderableType:
    parts: list[RenderableType] = [Text(), Text(_asked(found), "bold"), Text()]
    table = _table(found)
    if table.row_count:
        parts += [table, Text()]
    parts += [Padding(Text(line, "bold"), (0, 0, 1, 0)) for line in answer(found)]
    if (use := command(found)) is not None:
        parts += [Text(f"Use it: {clean(use)}"), Text()]
    parts.append(_facts(found))
    if left := list(_left_out(found)):
        parts += [Text(), Text("Left out without full effort", "bold"), *left]
    if doubts := list(_cautions(found)):
        parts += [Text(), Text("Cautions", "bold yellow"), *doubts]
    parts += [Text(), Text(f"Everything measured is kept in {clean(found.folder)}", "dim")]
    return Group(*parts)


def _asked(found: Tuned) -> str:
    goal = found.request.goal
    limits = [str(goal.slo)] if goal.slo else []
    if goal.memory_bytes:
        limits.append(f"at most {size_text(goal.memory_bytes)}")
    under = f", {' and '.join(limits)}" if limits else ""
    return f"{clean(found.model['name'])}: best {_WORDS[goal.aim]}{under}"


def answer(found: Tuned) -> tuple[str, ...]:
    """Return what the search says, in sentences; the first names the winner."""
    choice = found.choice
    if choice.winner is None:
        if not any(seen.measured for seen in found.evidence.seen.values()):
            why = "the search was stopped first" if found.interrupted else "below is why"
            return (f"Nothing was measured: {why}.",)
        return ("No configuration keeps all limits; below is why each is out.",)
    one = found.space.configurations[choice.winner]
    said = [f"{clean(one.name)} {_how_sure(found)}."]
    if waiting := len(found.judgement.those(State.WAITING)):
        which = "1 was" if waiting == 1 else f"{waiting} were"
        one_of = "it" if waiting == 1 else "one of them"
        said.append(
            f"{which} not looked at, for want of time: {one_of} may be better. Give it longer "
            "with --time-budget."
        )
    if found.interrupted:
        said.append("Interrupted: this is the best so far, of what was measured.")
    if found.request.goal.slo and choice.kept is not Keeps.HOLDS:
        said.append(
            f"That it keeps {found.request.goal.slo} seems so, and is not proven: too few "
            "inferences were timed. Give it longer with --time-budget."
        )
    parity = found.evidence.of(choice.winner).parity
    if parity is None or parity.status in ("not_checked", "degenerate"):
        why = parity.reason if parity and parity.reason else "the search was stopped first"
        said.append(sentence(f"Its outputs were not compared with a reference: {clean(why)}"))
    return tuple(said)


def _how_sure(found: Tuned) -> str:
    choice = found.choice
    match choice.sureness:
        case Sureness.BEST:
            close = [
                id_
                for id_ in found.judgement.those(State.RACING)
                if found.evidence.of(id_).finals and id_ != choice.winner
            ]
            return "is the best: nobody is better by more than 2%" if close else "is the best"
        case Sureness.TIE:
            return (
                f"is one of {len(choice.equals)} that are equal within 2%, the one with the "
                "fewest threads and the smallest batch"
            )
        case _:
            rivals = len(choice.rivals)
            others = "another" if rivals == 1 else f"{rivals} others"
            return f"seems the best; {others} may be better by more than 2%"


def _table(found: Tuned) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("configuration", overflow="fold", min_width=16)
    slo = found.request.goal.slo
    last = slo.percentile.replace("_", ".") if slo else "p50"
    for name in ("per s", last, "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("of the best", no_wrap=True)
    table.add_column("", overflow="fold")
    for one in _shown(found):
        table.add_row(*map(_text, _line(found, one, slo.percentile if slo else "p50")))
    return table


def _text(words: str) -> Text:
    return Text(words, "bold" if words == "use this" else "")


def _shown(found: Tuned) -> list[Configuration]:
    """Return those that were measured, the winner first, then by how good they are."""
    rows = [one for one in found.space.configurations if _measured(found, one.id)]

    def place(one: Configuration) -> tuple[bool, bool, float]:
        gap = found.judgement.gaps.get(one.id)
        racing = found.judgement.standings[one.id].state is State.RACING
        return one.id != found.choice.winner, not racing, -(gap.value if gap else 0.0)

    return sorted(rows, key=place)[:_SHOWN]


def _measured(found: Tuned, id_: int) -> bool:
    seen = found.evidence.seen.get(id_)
    return bool(seen and seen.measured)


def _line(found: Tuned, one: Configuration, percentile: str) -> tuple[str, ...]:
    row, gap = found.rows.get(one.id), found.judgement.gaps.get(one.id)
    latency = row.latency_ns if row else None
    per_s = row.throughput_per_s if row else None
    memory = found.evidence.of(one.id).memory_bytes
    return (
        shorten(one.name, _LONGEST_NAME),
        rounded(per_s) if per_s else "-",
        percentile_text(latency, percentile) if latency else "-",
        format_bytes(memory) if memory else "-",
        ratio_text(as_ratio(gap.interval)) if gap and one.id != found.judgement.best else "",
        _standing(found, one.id),
    )


def _standing(found: Tuned, id_: int) -> str:
    choice, standing = found.choice, found.judgement.standings[id_]
    if id_ == choice.winner:
        return "use this"
    if id_ in choice.equals:
        return "equal"
    if standing.state is State.BEHIND:
        return "worse"
    if id_ in choice.rivals:
        return "may be better"
    if standing.state is not State.RACING:
        return standing.state.value
    kept = seems_to_keep(found.request.goal.slo, found.evidence.latencies_ns(id_))
    return "no better" if kept else "may break the limit"


def _facts(found: Tuned) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    full = sum(seen.finals > 0 for seen in found.evidence.seen.values())
    total_s = found.seconds["search"]
    kinds = (
        ("looks", "look"),
        ("references", "check"),
        ("full effort", "final"),
        ("proof", "prove"),
    )
    parts = [f"{word} {format_s(found.seconds[key])}" for word, key in kinds if found.seconds[key]]
    table.add_row(
        "measured",
        f"{found.started} of {len(found.space)} configurations "
        f"({format_share(found.started / len(found.space))}), {full} at full effort",
    )
    table.add_row("time", f"{format_s(total_s)}{': ' if parts else ''}{', '.join(parts)}")
    for what, why in found.space.left_out:
        table.add_row("not tried", f"{what}: {why}")
    return table


def _cautions(found: Tuned) -> Iterable[RenderableType]:
    """Yield doubts about the search, and about the winner's row."""
    winner = found.choice.winner
    own = found.rows[winner].cautions if winner is not None else ()
    for caution in (*found.cautions, *own):
        about = f"{clean(found.space.configurations[winner or 0].name)}: " if caution in own else ""
        line = Text.assemble((clean(caution.code), "yellow"), f"  {about}{sentence(caution.text)}")
        line.append(f" {sentence(caution.fix)}" if caution.fix else "", "dim")
        yield Padding(line, (0, 0, 0, 2))


def _left_out(found: Tuned) -> Iterable[RenderableType]:
    """Yield why configurations are out, those that share a reason together."""
    shared: dict[str, list[str]] = {}
    for one in found.space.configurations:
        standing = found.judgement.standings[one.id]
        if standing.state in (State.RACING, State.BEHIND):
            continue
        why = standing.why or "the time was up before it was looked at"
        shared.setdefault(clean(why), []).append(one.name)
    for why, names in shared.items():
        some = "; ".join(clean(name) for name in names[:2])
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        yield Padding(Text.assemble((f"{some}{more}", "bold"), f": {sentence(why)}"), (0, 0, 0, 2))
