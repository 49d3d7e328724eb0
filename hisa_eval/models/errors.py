"""What can go wrong with one sample without ending a run."""

from __future__ import annotations


class CellError(Exception):
    """This sample cannot be answered here; the message is the reason that the run records.

    Raised for what another sample or machine would not suffer from: memory that runs out, a context longer
    than the model takes.
    """
