"""What can go wrong with one sample without ending a run."""

from __future__ import annotations


class CellError(Exception):
    """This sample cannot be answered here; the message is the reason that the run records.

    Raised for what another sample or machine would not suffer from: memory that runs out, a context longer
    than the model takes.
    """


class AnswerError(Exception):
    """No usable answer to this sample came; the message is the reason that the run records.

    Unlike `CellError` it says nothing of other samples of this length: a server that failed once may answer
    the next one.
    """
