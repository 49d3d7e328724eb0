"""How many examples the suite tries: the same ones on every run."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

CONFORMANCE = settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
