"""What all studies share: verdicts are tests on numbers, measurements are kept, a folder holds one study."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tithe.cost.figure import Figure
from tithe.errors import UsageError
from tithe.studies.kept import MEASURED, Kept
from tithe.studies.registry import find
from tithe.studies.run import claimed
from tithe.studies.study import Asked, Column, Table
from tithe.studies.verdict import above, all_of, below, between, mean
from tithe.train.loop import Tick


class Silent:
    """Nobody watches."""

    def begin(self, what: str, names: Sequence[str], done: int) -> None:
        self.done = done

    def training(self, name: str, tick: Tick) -> None: ...

    def end(self, name: str, says: str) -> None: ...


def figure(low: float, high: float) -> Figure:
    return Figure((low + high) / 2, "1", "measured", low, high)


def test_the_whole_interval_decides():
    assert between(figure(1.9, 2.1), 1.8, 2.2) == "holds"
    assert between(figure(2.3, 2.5), 1.8, 2.2) == "does not hold"
    assert between(figure(2.1, 2.5), 1.8, 2.2) == "not decided"
    assert above(figure(0.1, 0.2)) == "holds"
    assert above(figure(-0.2, -0.1)) == "does not hold"
    assert below(figure(0.1, 0.2)) == "does not hold"
    assert below(figure(-0.1, 0.2)) == "not decided"


def test_one_measurement_decides_nothing_but_a_count_does():
    assert above(mean([3.0], "1")) == "not decided"
    assert above(Figure(3.0, "1", "counted")) == "holds"
    assert above(mean([3.0, 3.1, 2.9], "1")) == "holds"
    assert above(mean([3.0, 3.0], "1")) == "not decided", "equal by chance is no certainty"
    assert above(mean([3.0, 3.0], "FLOP", how="counted")) == "holds"


def test_of_several_parts_one_that_fails_is_enough():
    assert all_of(["holds", "holds"]) == "holds"
    assert all_of(["holds", "not decided"]) == "not decided"
    assert all_of(["not decided", "does not hold"]) == "does not hold"
    assert all_of([]) == "not decided"


def test_what_was_measured_is_not_measured_again(tmp_path):
    def never() -> None:
        raise AssertionError("measured twice")

    first = Kept(tmp_path, Silent()).measure({"a": lambda: (1, 2.5), "b": lambda: None})
    watch = Silent()
    again = Kept(tmp_path, watch).measure({"a": never, "b": never, "c": lambda: {"x": 1}})
    assert again == {"a": [1, 2.5], "b": None, "c": {"x": 1}}
    assert first == {"a": [1, 2.5], "b": None}, "an answer is what will be read, not what was returned"
    assert watch.done == 2


def test_a_line_that_a_kill_has_cut_is_measured_again(tmp_path):
    Kept(tmp_path, Silent()).measure({"a": lambda: 1, "b": lambda: 2})
    path = tmp_path / MEASURED
    path.write_text(path.read_text()[:-9])
    assert Kept(tmp_path, Silent()).measure({"a": lambda: 10, "b": lambda: 20}) == {"a": 1, "b": 20}
    assert [json.loads(line)["answer"] for line in path.read_text().splitlines()] == [1, 20]


def test_what_another_version_measured_is_measured_again(tmp_path):
    (tmp_path / MEASURED).write_text('{"tithe": "0.0.1", "name": "a", "answer": 1}\n')
    assert Kept(tmp_path, Silent()).measure({"a": lambda: 2}) == {"a": 2}


def test_damage_is_said(tmp_path):
    (tmp_path / MEASURED).write_text('rubbish\n{"tithe": "x", "name": "a", "answer": 1}\n')
    with pytest.raises(UsageError, match="damaged"):
        Kept(tmp_path, Silent())


def test_a_folder_holds_one_study_and_one_process(tmp_path):
    asked = Asked("theory", tmp_path / "s")
    with claimed(asked), pytest.raises(UsageError, match="another process"), claimed(asked):
        pass
    with pytest.raises(UsageError, match="holds the study theory, not other"), claimed(Asked("other", tmp_path / "s")):
        pass
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UsageError, match="no study"), claimed(Asked("theory", tmp_path / "full")):
        pass
    with pytest.raises(UsageError, match="is a file"), claimed(Asked("theory", tmp_path / "full" / "file")):
        pass


def test_an_unknown_study_gets_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean theory"):
        find("Theorie")


def test_a_table_as_csv_leaves_unknown_values_empty():
    table = Table("t", "", [Column("a"), Column("b", "1", "measured")], [{"a": "x,y", "b": None}, {"a": "z", "b": 0.5}])
    assert table.csv() == 'a,b\n"x,y",\nz,0.5\n'
