"""The configurations among which the best is searched for: plain data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

Arm = tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One way to run the model.

    Attributes:
        id: Its place in the space, from 0.
        backend: ``adapter`` or ``adapter:variant``.
        threads: Of one inference.
        batch: Samples of one inference; None where the model has no batch.
        streams: Inferences at once, each with ``threads`` of its own.
    """

    id: int
    backend: str
    threads: int
    batch: int | None
    streams: int = 1

    @property
    def size(self) -> int:
        """Return the samples of one inference."""
        return self.batch or 1

    @property
    def all_threads(self) -> int:
        """Return the threads of all its inferences together."""
        return self.threads * self.streams

    @property
    def arm(self) -> Arm:
        """Return what it shares with those that differ in the batch alone."""
        return self.backend, self.threads, self.streams

    @property
    def plainness(self) -> tuple[int, int, int]:
        """Return what equals are chosen by, the least first: threads, batch, streams."""
        return self.all_threads, self.size, self.streams

    @property
    def name(self) -> str:
        """Return it in words, such as ``openvino, 2 threads, batch 8``."""
        words = [self.backend, "1 thread" if self.threads == 1 else f"{self.threads} threads"]
        if self.batch is not None:
            words.append(f"batch {self.batch}")
        if self.streams > 1:
            words.append(f"{self.streams} streams")
        return ", ".join(words)


@dataclass(frozen=True)
class Space:
    """All configurations, and those that were left out before anything was measured.

    Attributes:
        configurations: By id.
        left_out: What was not taken in, with why.
    """

    configurations: tuple[Configuration, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.configurations)

    def ladder(self, arm: Arm) -> tuple[Configuration, ...]:
        """Return the configurations of an arm, the smallest batch first."""
        return self._ladders[arm]

    def kin(self, one: Configuration) -> tuple[Configuration, ...]:
        """Return those of the same backend that differ from ``one`` in one thing alone."""
        return self._kin[one.id]

    def of_names(self, names: Collection[str]) -> Space:
        """Return the space of those with these names alone, numbered anew; of all for none."""
        if not names:
            return self
        kept = [one for one in self.configurations if one.name in names]
        return Space(tuple(replace(one, id=id_) for id_, one in enumerate(kept)), self.left_out)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Return every arm, in the order of the configurations."""
        return tuple(self._ladders)

    @cached_property
    def _ladders(self) -> dict[Arm, tuple[Configuration, ...]]:
        found: dict[Arm, list[Configuration]] = {}
        for one in self.configurations:
            found.setdefault(one.arm, []).append(one)
        return {arm: tuple(sorted(mine, key=lambda one: one.size)) for arm, mine in found.items()}

    @cached_property
    def _kin(self) -> dict[int, tuple[Configuration, ...]]:
        alike: dict[tuple[object, ...], list[Configuration]] = {}
        for one in self.configurations:
            for key in _alike(one):
                alike.setdefault(key, []).append(one)
        return {
            one.id: tuple(o for key in _alike(one) for o in alike[key] if o.id != one.id)
            for one in self.configurations
        }


def _alike(one: Configuration) -> tuple[tuple[object, ...], ...]:
    """Return what ``one`` shares with each kind of its kin."""
    return (
        ("batch", one.backend, one.threads, one.streams),
        ("threads", one.backend, one.size, one.streams),
        ("streams", one.backend, one.size, one.threads),
    )


def make_space(
    backends: Sequence[str],
    threads: Sequence[int],
    batches: Sequence[int | None],
    streams: Sequence[int] = (1,),
    *,
    cpus: int,
) -> Space:
    """Return every combination that fits the CPUs.

    Args:
        backends: Names, each once.
        threads: Of one inference.
        batches: Samples of one inference.
        streams: Inferences at once.
        cpus: How many CPUs there are: threads beyond them only wait.
    """
    found: list[Configuration] = []
    beyond: dict[tuple[int, int], int] = {}
    for backend, at_once, own, batch in product(backends, streams, threads, batches):
        if at_once * own > cpus:
            beyond[at_once, own] = beyond.get((at_once, own), 0) + 1
            continue
        found.append(
            Configuration(id=len(found), backend=backend, threads=own, batch=batch, streams=at_once)
        )
    told = tuple(
        (f"{at_once} streams of {own} threads", f"they are more than the {cpus} CPUs here")
        for at_once, own in beyond
    )
    return Space(tuple(found), told)
