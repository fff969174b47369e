"""The trials of a tuning, in the order that its table has."""

from tithe.report.tuned import ordered


def trial(number: int, ended: str, epochs: int, error: float | None) -> dict[str, object]:
    return {"number": number, "ended": ended, "epochs": epochs, "error": error, "flop": 1}


def test_the_lowest_error_comes_first_also_where_there_is_none_left():
    trials = [
        trial(0, "finished", 4, 0.02),
        trial(1, "diverged", 1, None),
        trial(2, "finished", 4, 0.0),
        trial(3, "stopped", 2, 0.01),
        trial(4, "stopped", 3, 0.5),
    ]
    assert [each["number"] for each in ordered({"trials": trials})] == [2, 0, 4, 3, 1]
