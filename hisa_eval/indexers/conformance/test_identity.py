"""What an indexer says of itself."""

from __future__ import annotations

import json

from hisa_eval.indexers.base import Indexer, IndexerState
from hisa_eval.indexers.conformance.subject import Subject
from hisa_eval.indexers.registry import available, parse


def test_has_every_member_of_the_protocol(subject: Subject) -> None:
    assert isinstance(subject.indexer, Indexer)
    state = subject.indexer.new_state()
    assert state is None or isinstance(state, IndexerState)


def test_label_can_be_parsed_back(subject: Subject) -> None:
    assert subject.indexer.name in available()
    again = parse(subject.indexer.label)
    assert again.label == subject.indexer.label
    assert dict(again.settings) == dict(subject.indexer.settings)


def test_settings_are_json(subject: Subject) -> None:
    settings = dict(subject.indexer.settings)
    assert json.loads(json.dumps(settings)) == settings


def test_exactness_bound_is_a_count_that_grows_with_the_budget(subject: Subject) -> None:
    assert 0 <= subject.indexer.exact_below(subject.topk) <= subject.indexer.exact_below(2 * subject.topk)
