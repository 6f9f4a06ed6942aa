"""The errors a user can meet. Each says what happened, where, and how to mend it.

Code raises one of these where it knows all three; the command line prints them on one line and
turns the class into an exit code. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations


class OmniLiveError(Exception):
    """Base of every error meant for the user.

    Args:
        what: the fact, in one clause, without a final full stop.
        where: the file, field, device or stage it concerns.
        mend: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str, mend: str) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.mend}"


class ConfigError(OmniLiveError):
    """A configuration value, option or argument that cannot be used."""

    exit_code = 2


class SourceError(OmniLiveError):
    """A media source that cannot be opened or read."""

    exit_code = 3


class PackError(OmniLiveError):
    """An engine pack that is missing, damaged, of another format, or of another architecture."""

    exit_code = 4


class CheckpointError(OmniLiveError):
    """A checkpoint the exporter cannot read or does not recognise."""

    exit_code = 5


class BuildError(OmniLiveError):
    """A build of an engine pack that could not finish or missed its tolerance."""

    exit_code = 6


class EngineError(OmniLiveError):
    """An engine that failed while loading or running, or was asked beyond its limits."""

    exit_code = 7


class TooLongError(EngineError):
    """Words that exceed a limit of the engines; a session leaves them unanswered and goes on."""


class OutputError(OmniLiveError):
    """A result that could not be written; what was written before it is kept."""

    exit_code = 8


class SetupError(OmniLiveError):
    """Something this machine lacks."""

    exit_code = 9


class FitError(OmniLiveError):
    """An engine pack that needs more memory than its budget, or than the machine has free."""

    exit_code = 10
