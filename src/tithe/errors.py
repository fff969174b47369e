"""The two ways tithe says no: the input is wrong, or training has diverged."""


class UsageError(ValueError):
    """Bad input. The message is one sentence: what was given, what is allowed, what to do next."""


class Diverged(RuntimeError):
    """The loss is no longer finite. The message names the step and the layer; the last checkpoint stays."""
