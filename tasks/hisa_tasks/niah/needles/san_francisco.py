"""The classic needle: the best thing to do in San Francisco."""

from __future__ import annotations

from hisa_tasks.niah.needles.free import FreeNeedles

SAN_FRANCISCO = FreeNeedles(
    name="san-francisco",
    summary="the classic sentence about a sandwich in Dolores Park, scored by recall of its key facts",
    sentence="The best thing to do in San Francisco is {value}.",
    question="What is the best thing to do in San Francisco?",
    answer_prefix=" The best thing to do in San Francisco is",
    values=("eat a sandwich and sit in Dolores Park on a sunny day",),
    metric="key-facts",
    facts=("sandwich", "Dolores Park", "sunny day"),
)
"""Source: gkamradt/LLMTest_NeedleInAHaystack (needle and question). Here the needle stands in running text,
and a rule scores the answer (`hisa_tasks.metrics.key_facts`), not a language model."""
