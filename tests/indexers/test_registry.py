"""Names, options and lists of indexers as people type them, and every way to get them wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hisa_eval.errors import UserError
from hisa_eval.indexers.base import Indexer
from hisa_eval.indexers.registry import available, describe, get, parse, parse_list, split_list

KNOWN = (
    "block-sparse, dsa, hisa, hisa-adaptive, hisa-exact, hisa-multi, hisa-overlap, "
    "index-cache, misa, step-reuse"
)
ORDERED = (
    "dsa, hisa, block-sparse, hisa-multi, hisa-overlap, hisa-adaptive, hisa-exact, misa, "
    "index-cache, step-reuse"
)

BLOCK_OPTIONS = {
    "block_size": st.integers(1, 4096),
    "ratio": st.none() | st.floats(1, 1e6, allow_nan=False) | st.integers(1, 64).map(float),
    "pooling": st.sampled_from(["mean", "max"]),
    "forced": st.sampled_from(["none", "first", "first_last", "first_last2"]),
    "forced_in_budget": st.booleans(),
    "block_score_dtype": st.sampled_from(["f32", "bf16"]),
}
INDEXERS = st.one_of(
    st.builds(lambda: get("dsa")()),
    st.fixed_dictionaries({}, optional={"num_blocks": st.integers(1, 4096), **BLOCK_OPTIONS}).map(
        lambda options: get("hisa")(**options)
    ),
    st.fixed_dictionaries({}, optional={"num_blocks": st.none() | st.integers(1, 4096), **BLOCK_OPTIONS}).map(
        lambda options: get("block-sparse")(**options)
    ),
)


@given(INDEXERS)
def test_a_label_is_parsed_back_to_the_same_indexer(indexer: Indexer) -> None:
    again = parse(indexer.label)
    assert type(again) is type(indexer)
    assert again.label == indexer.label
    assert again.settings == indexer.settings


@settings(max_examples=30)
@given(st.lists(INDEXERS, min_size=1, max_size=5, unique_by=lambda indexer: indexer.label), st.booleans())
def test_a_list_of_labels_is_parsed_back(indexers: list[Indexer], spaced: bool) -> None:
    labels = [indexer.label for indexer in indexers]
    assert [each.label for each in parse_list((" , " if spaced else ",").join(labels))] == labels


def test_options_may_be_written_with_their_defaults() -> None:
    assert parse("hisa:block_size=128,num_blocks=64,ratio=none,forced_in_budget=true").label == "hisa"
    assert parse("block-sparse:num_blocks=none").label == "block-sparse"
    assert parse("hisa:forced=none").settings["forced"] == "none"


def test_a_comma_belongs_to_the_options_where_one_follows() -> None:
    specs = "dsa,hisa:block_size=64,num_blocks=128,ratio=4,block-sparse"
    assert split_list(specs) == ["dsa", "hisa:block_size=64,num_blocks=128,ratio=4", "block-sparse"]
    assert split_list("a:x=1,y=2,b") == ["a:x=1,y=2", "b"]
    assert split_list("a:x=1,b:x=c:d,y=e:f") == ["a:x=1", "b:x=c:d,y=e:f"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hsia", f"unknown indexer 'hsia' – did you mean 'hisa'? known: {KNOWN}"),
        ("zzz", f"unknown indexer 'zzz' – known: {KNOWN}"),
        ("", f"indexer '' has no name – known: {ORDERED}"),
        (":block_size=4", f"indexer ':block_size=4' has no name – known: {ORDERED}"),
        (
            "hisa:blocksize=4",
            "unknown hisa option 'blocksize' – did you mean 'block_size'? "
            "known: block_score_dtype, block_size, forced, forced_in_budget, num_blocks, pooling, ratio",
        ),
        ("dsa:block_size=4", "dsa: unknown option 'block_size' – dsa takes no options"),
        (
            "hisa:block_size=many",
            "hisa: block_size=many is not allowed – block_size takes: integer >= 1 (default 128)",
        ),
        (
            "hisa:block_size=0",
            "hisa: block_size=0 is not allowed – block_size takes: integer >= 1 (default 128)",
        ),
        (
            "hisa:num_blocks=none",
            "hisa: num_blocks=none is not allowed – num_blocks takes: integer >= 1 (default 64)",
        ),
        (
            "block-sparse:num_blocks=-1",
            "block-sparse: num_blocks=-1 is not allowed – "
            "num_blocks takes: integer >= 1 or none (default none)",
        ),
        (
            "hisa:ratio=0.5",
            "hisa: ratio=0.5 is not allowed – ratio takes: number >= 1 or none (default none)",
        ),
        (
            "hisa:ratio=inf",
            "hisa: ratio=inf is not allowed – ratio takes: number >= 1 or none (default none)",
        ),
        ("hisa:pooling=sum", "hisa: pooling=sum is not allowed – pooling takes: mean | max (default mean)"),
        (
            "hisa:forced=last",
            "hisa: forced=last is not allowed – forced takes: none | first | first_last | first_last2 "
            "(default first_last)",
        ),
        (
            "hisa:forced_in_budget=maybe",
            "hisa: forced_in_budget=maybe is not allowed – "
            "forced_in_budget takes: true | false (default true)",
        ),
        ("hisa:", "hisa: '' is not an option – write hisa:option=value,option=value"),
        ("hisa:ratio", "hisa: 'ratio' is not an option – write hisa:option=value,option=value"),
        ("hisa:ratio=", "hisa: 'ratio=' is not an option – write hisa:option=value,option=value"),
        ("hisa:ratio=2,ratio=4", "hisa: option ratio is given twice – keep one of them"),
    ],
)
def test_a_wrong_spec_says_what_and_how_to_mend_it(spec: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(spec)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ("dsa,,hisa", "indexer list 'dsa,,hisa' has an empty piece – write dsa,hisa,block-sparse"),
        ("", "indexer list '' has an empty piece – write dsa,hisa,block-sparse"),
        ("ratio=4,hisa", "option 'ratio=4' has no indexer before it – write hisa:ratio=4"),
        ("dsa,hisa,ratio=4", "option 'ratio=4' follows 'hisa' without a colon – write hisa:ratio=4"),
        ("dsa,hisa,dsa", "indexer 'dsa' is given twice – keep one of them"),
        ("hisa,hisa:block_size=128", "indexer 'hisa' is given twice – keep one of them"),
    ],
)
def test_a_wrong_list_says_what_and_how_to_mend_it(specs: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_list(specs)
    assert str(error.value) == message


def test_wrong_keywords_are_said_like_wrong_text() -> None:
    with pytest.raises(UserError, match="hisa: block_size=0 is not allowed"):
        get("hisa")(block_size=0)
    with pytest.raises(UserError, match="unknown hisa option 'blocks'"):
        get("hisa")(blocks=4)


@pytest.mark.parametrize("name", ["dsa", "hisa", "block-sparse"])
def test_every_option_is_described(name: str) -> None:
    described = describe(name)
    assert described.name == name
    assert described.summary
    assert described.doc.startswith(described.summary)
    assert described.origin == "built in"
    assert {row.name for row in described.options} == set(parse(name).settings)
    for row in described.options:
        assert row.description
        assert row.description.endswith(".")
        assert row.type
        assert row.default != "required"


def test_defaults_are_the_paper_s() -> None:
    rows = {row.name: row.default for row in describe("hisa").options}
    assert rows == {
        "block_size": "128",
        "num_blocks": "64",
        "ratio": "none",
        "pooling": "mean",
        "forced": "first_last",
        "forced_in_budget": "true",
        "block_score_dtype": "f32",
    }


def test_names_options_and_budgets_need_no_torch() -> None:
    script = (
        "import sys\n"
        "from hisa_eval.indexers.registry import available, describe, parse_list\n"
        "names = available()\n"
        "assert {'dsa', 'hisa', 'block-sparse'} <= set(names), names\n"
        "for indexer in parse_list('dsa,hisa:block_size=64,ratio=4,block-sparse'):\n"
        "    describe(indexer.name), indexer.label, indexer.settings, indexer.exact_below(2048)\n"
        "    indexer.check_budget(2048)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_built_in_names_come_first() -> None:
    assert available()[:3] == ["dsa", "hisa", "block-sparse"]
