"""The command `tithe`: one file a verb, imported when it is called, so that `tithe --help` is quick."""

import importlib
import importlib.metadata
import signal
import sys
import warnings
from types import FrameType

import click

from tithe.cli.spin import spin_briefly
from tithe.errors import Diverged, UsageError

VERBS = {
    "train": "tithe.cli.train",
    "plan": "tithe.cli.plan",
    "forecast": "tithe.cli.forecast",
    "compare": "tithe.cli.compare",
    "tune": "tithe.cli.tune",
    "study": "tithe.cli.study",
    "report": "tithe.cli.report",
    "runs": "tithe.cli.runs",
    "bench": "tithe.cli.bench",
}
"""Verb -> the module whose `command` it is."""

STATUS_DIVERGED = 1
STATUS_USAGE = 2
STATUS_INTERRUPTED = 128 + signal.SIGINT
STATUS_TERMINATED = 128 + signal.SIGTERM


class Stopped(BaseException):
    """Ctrl-C or SIGTERM: unwinds what is open. No Exception, so that nothing on the way takes it for an error."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return importlib.import_module(VERBS[cmd_name]).command


@click.group(
    cls=_Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(importlib.metadata.version("tithe"), prog_name="tithe", message="%(prog)s %(version)s")
@click.pass_context
def group(context: click.Context) -> None:
    """Train neural networks sparse, from the first step to the last: fewer weights, FLOP and bytes, measured."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 diverged, 2 bad input, 130 after Ctrl-C, 143 after SIGTERM."""
    spin_briefly()  # before a verb imports torch
    sys.exit(status(arguments))


def status(arguments: list[str] | None = None) -> int:
    """Run the command; its exit status. Errors and warnings are one line each on stderr."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _status(arguments)
    finally:
        signal.signal(signal.SIGTERM, before)


def _status(arguments: list[str] | None) -> int:
    try:
        group.main(args=arguments, prog_name="tithe", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return _complain(f"{error.format_message()} See: {_help_for(error)}", STATUS_USAGE)
    except UsageError as error:
        return _complain(str(error), STATUS_USAGE)
    except Diverged as error:
        return _complain(str(error), STATUS_DIVERGED)
    except Stopped as stop:
        return _complain(str(stop), stop.exit_status)
    except (click.Abort, KeyboardInterrupt):  # outside training
        return _complain("interrupted.", STATUS_INTERRUPTED)
    return 0


def _complain(message: str, exit_status: int) -> int:
    click.echo(f"tithe: {message}", err=True)
    return exit_status


def _show_warning(message: Warning | str, *_where: object) -> None:
    click.echo(f"tithe: warning: {message}", err=True)


def _help_for(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'tithe'} --help"


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Stopped("terminated.", STATUS_TERMINATED)
