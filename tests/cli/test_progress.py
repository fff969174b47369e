"""What a user sees while a network trains or a file is fetched."""

import io
from dataclasses import replace

from rich.console import Console
from rich.progress import Progress

from tithe.cli.progress import Bars, Lines, watching
from tithe.train.loop import Tick

_TICK = Tick("sparse", epoch=2, epochs=40, step=50, total_steps=400, loss=0.25, accuracy=0.5)


def test_bars_show_loss_accuracy_epoch_and_bytes():
    screen = io.StringIO()
    with Progress(
        "{task.description} {task.percentage:.0f} % {task.fields[details]}", console=Console(file=screen)
    ) as p:
        bars = Bars(p)
        bars.training(_TICK)
        bars.training(replace(_TICK, half="dense", accuracy=None, step=100))
        bars.download("images.gz", 1_500_000, 3_000_000)
        bars.training(replace(_TICK, step=200))
    assert [line.rstrip() for line in screen.getvalue().splitlines()] == [
        "sparse 50 % epoch 2/40  loss 0.2500  accuracy 50.00 %",
        "dense  25 % epoch 2/40  loss 0.2500  accuracy -",
        "images.gz 50 % 1.5 of 3.0 MB",
    ]


def test_a_log_gets_a_tenth_of_the_epochs_and_a_line_a_file(capsys):
    lines = Lines()
    for epoch in range(1, 43):
        lines.training(replace(_TICK, epoch=epoch, epochs=42))
        lines.training(replace(_TICK, epoch=epoch, epochs=42, epoch_ended=True))
    for done in (0, 10, 20):
        lines.download("images.gz", done, 20)
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[2] for line in said[:-1]] == [f"{epoch}/42" for epoch in (5, 10, 15, 20, 25, 30, 35, 40, 42)]
    assert said[-1] == "fetched images.gz, 0.0 MB"


def test_without_a_terminal_there_are_lines_with_one_there_are_bars(monkeypatch):
    with watching() as watch:
        assert isinstance(watch, Lines)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with watching() as watch:
        assert isinstance(watch, Bars)
