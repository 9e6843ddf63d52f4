"""The error family. Every error this package raises on purpose is one of these.

FauxlensError
├── UnknownName          a name that is in no table
├── BadSetting           a setting that cannot be meant
├── BadShape             an array of another shape or type than promised
├── MissingExtra         an optional library that is not installed
├── UnreadableImage      bytes that are no picture we can open
├── BadManifest          a table that is no manifest, or not the one expected
├── UnknownLayout        a folder in which no dataset layout could be recognised
├── WorkError            a long run that cannot start, go on or finish
│   ├── OtherPlan        a folder that holds another run than the one asked for
│   └── Interrupted      a long run that was told to stop; its state is kept
├── BadPredictions       predictions that do not fit their manifest, or cannot be scored
├── FetchError           a download that could not be completed or did not match its digest
├── BadWeights           a file of weights that does not fit, is damaged, or would have to run code to be read
├── NoWeights            a detector whose weights are not on this machine
├── BadFrame             what a creation method made is no picture: black all over, or not of numbers
├── BadExport            a network that cannot be written for others, or a written one that says something else
└── OutOfMemory          a picture that does not fit the memory, even alone
"""

from __future__ import annotations


class FauxlensError(Exception):
    """Everything this package raises on purpose: what, where, wanted, got, next step.

    >>> print(FauxlensError("no such file", where="m.parquet", hint="run `fauxlens scan` first"))
    m.parquet: no such file. Next: run `fauxlens scan` first
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        wanted: object = None,
        got: object = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.wanted = None if wanted is None else str(wanted)
        self.got = None if got is None else str(got)
        self.hint = hint
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The sentence without the next step."""
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        facts = [f"{name} {value}" for name, value in (("wanted", self.wanted), ("got", self.got)) if value is not None]
        return text + (f" ({', '.join(facts)})" if facts else "")

    @property
    def kind(self) -> str:
        """The class name, for machine-readable output."""
        return type(self).__name__

    def __str__(self) -> str:
        if self.hint is None:
            return self.message
        stop = "" if self.message.endswith((".", "!", "?")) else "."
        return f"{self.message}{stop} Next: {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; the default would call __init__ with the finished sentence.
        return _rebuild, (type(self), dict(self.__dict__))


def _rebuild(kind: type[FauxlensError], state: dict[str, object]) -> FauxlensError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    Exception.__init__(error, error.message)
    return error


class UnknownName(FauxlensError, LookupError):
    """A name that is in no table."""


class BadSetting(FauxlensError, ValueError):
    """A setting that cannot be meant."""


class BadShape(FauxlensError, ValueError):
    """An array of another shape or type than promised."""


class MissingExtra(FauxlensError, ImportError):
    """An optional library that is not installed."""


class UnreadableImage(FauxlensError, OSError):
    """Bytes that are no picture we can open. `reason` is one of REASONS."""

    REASONS = (
        "missing",  # no such file
        "unreadable",  # there, but the system does not let us open it
        "empty",  # zero bytes
        "html",  # a web page saved under a picture's name
        "not-an-image",  # no container that we know
        "truncated",  # the file ends before the picture does
        "corrupt",  # the container contradicts itself
        "too-many-bytes",  # refused before reading
        "too-many-pixels",  # refused before decoding
        "unsupported",  # a valid file of a kind that is not read here
    )

    def __init__(
        self,
        what: str,
        *,
        reason: str,
        where: object = None,
        wanted: object = None,
        got: object = None,
        hint: str | None = None,
    ) -> None:
        self.reason = reason
        super().__init__(what, where=where, wanted=wanted, got=got, hint=hint)


class BadManifest(FauxlensError, ValueError):
    """A table that is no manifest, or not the one expected."""


class UnknownLayout(FauxlensError, ValueError):
    """A folder in which no dataset layout could be recognised."""


class WorkError(FauxlensError, RuntimeError):
    """A long run that cannot start, go on or finish."""


class OtherPlan(WorkError):
    """A folder that holds another run than the one asked for."""


class Interrupted(WorkError):
    """A long run that was told to stop; its state is kept."""


class BadPredictions(FauxlensError, ValueError):
    """Predictions that do not fit their manifest, or cannot be scored."""


class FetchError(FauxlensError, OSError):
    """A download that could not be completed or did not match its digest."""


class BadWeights(FauxlensError, ValueError):
    """A file of weights that does not fit, is damaged, or would have to run code to be read."""


class NoWeights(FauxlensError, LookupError):
    """A detector whose weights are not on this machine."""


class BadFrame(FauxlensError, RuntimeError):
    """What a creation method made is no picture: black all over, or not of numbers."""


class BadExport(FauxlensError, RuntimeError):
    """A network that cannot be written for others, or a written one that says something else."""


class OutOfMemory(FauxlensError, RuntimeError):
    """A picture that does not fit the memory, even alone."""
