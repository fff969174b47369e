"""Runs as they were found in a file, in the ledger or in the published record; not checked yet."""

from __future__ import annotations

from typing import NamedTuple


class Table(NamedTuple):
    """A row a run."""

    compute: list[float]  # or labels, or parameters
    error: list[float]
    group: list[str] | None
    year: list[float] | None
    names: list[str]  # what an error calls a run: "line 7", "run 12"
    left_out: int = 0  # runs without an error or a size

    def where(self, place: int) -> str:
        """What an error calls a run."""
        return self.names[place]

    def groups(self) -> dict[str, Table]:
        """The runs of each group by themselves, in the order of their first runs; all of them as "" without groups."""
        if self.group is None:
            return {"": self}
        return {name: self._of(name) for name in dict.fromkeys(self.group)}

    def _of(self, name: str) -> Table:
        assert self.group is not None
        places = [place for place, group in enumerate(self.group) if group == name]
        compute, error, year, names = (
            None if column is None else [column[place] for place in places]
            for column in (self.compute, self.error, self.year, self.names)
        )
        assert compute is not None
        assert error is not None
        assert names is not None
        return Table(compute, error, None, year, names)  # type: ignore[arg-type]
