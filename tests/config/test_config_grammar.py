"""The grammar of lengths and depths: what is written is what is meant, and nothing is dropped silently."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisa_eval.config.grammar import (
    MAX_LENGTH,
    format_depths,
    format_length,
    format_lengths,
    parse_depths,
    parse_length,
    parse_lengths,
)
from hisa_eval.errors import UserError

lengths = st.integers(min_value=1, max_value=MAX_LENGTH)


@given(lengths)
def test_a_length_reads_back(length: int) -> None:
    assert parse_length(format_length(length)) == length


@given(st.lists(lengths, min_size=1, max_size=20))
def test_a_list_of_lengths_reads_back_sorted_and_distinct(values: list[int]) -> None:
    assert parse_lengths(format_lengths(values)) == tuple(sorted(set(values)))
    assert parse_lengths(values) == tuple(sorted(set(values)))


@given(st.integers(1, 1024), st.integers(0, 12))
def test_doubling_meets_both_ends(start: int, doublings: int) -> None:
    got = parse_lengths(f"{start}..{start << doublings}")
    assert got == tuple(start << i for i in range(doublings + 1))


@given(st.integers(1, 4096), st.integers(0, 30), st.integers(1, 4096))
def test_steps_include_the_stop(start: int, steps: int, step: int) -> None:
    stop = start + steps * step
    assert parse_lengths(f"{start}:{stop}:{step}") == tuple(range(start, stop + 1, step))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("8k..128k", (8192, 16384, 32768, 65536, 131072)),
        ("4k,16k,1m", (4096, 16384, 1048576)),
        ("8k:64k:8k", tuple(8192 * i for i in range(1, 9))),
        ("1000", (1000,)),
        ("16K, 4k", (4096, 16384)),
        ("4k..8k,8k,100", (100, 4096, 8192)),
        (4096, (4096,)),
        ([4096, "8k..16k"], (4096, 8192, 16384)),
    ],
)
def test_written_lengths(spec: object, expected: tuple[int, ...]) -> None:
    assert parse_lengths(spec) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec",
    [
        "",
        ",",
        "8k,",
        "8q",
        "k",
        "-8k",
        "0",
        "1.5k",
        "8k..",
        "..8k",
        "8k..16k..32k",
        "8k..100k",
        "16k..8k",
        "8k:64k",
        "8k:60k:7k",
        "64k:8k:8k",
        "8k:64k:0",
        "1:1m:1",
        "2000m",
        "8 k",
        "٨k",
        "9" * 40,
    ],
)
def test_malformed_lengths_are_one_line_with_the_way_out(spec: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_lengths(spec)
    assert "\n" not in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("11", tuple(10.0 * i for i in range(11))),
        ("1", (50.0,)),
        ("2", (0.0, 100.0)),
        ("4", (0.0, 33.33, 66.67, 100.0)),
        ("0,25.5,100", (0.0, 25.5, 100.0)),
        ("100, 0 ,0", (0.0, 100.0)),
        ("50%", (50.0,)),
        ("50,", (50.0,)),
        ("25.5", (25.5,)),
        (3, (0.0, 50.0, 100.0)),
        (25.5, (25.5,)),
        ([0, 50.5, "75%"], (0.0, 50.5, 75.0)),
    ],
)
def test_written_depths(spec: object, expected: tuple[float, ...]) -> None:
    assert parse_depths(spec) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec",
    ["", ",", "0", "-1", "101%", "0,101", "0,-0.5", "x", "1e1", "nan", "random:", "random:0", "random:x"],
)
def test_malformed_depths_are_one_line_with_the_way_out(spec: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_depths(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["0,101", "-1", "-1,50", "100.01%"])
def test_a_depth_outside_the_haystack_says_so(spec: str) -> None:
    with pytest.raises(UserError, match="outside 0–100"):
        parse_depths(spec)


@given(st.lists(st.integers(0, 10000).map(lambda v: v / 100), min_size=1, max_size=30))
def test_depths_read_back(values: list[float]) -> None:
    assert parse_depths(format_depths(values)) == tuple(sorted(set(values)))


@given(st.integers(4, 40), st.integers(0, 2**31))
def test_random_depths_depend_on_the_seed_alone_and_cover_the_haystack(count: int, seed: int) -> None:
    got = parse_depths(f"random:{count}", seed)
    assert got == parse_depths(f"random:{count}", seed)
    assert len(got) == count
    width = 100 / count
    assert all(i * width - 0.005 <= depth <= (i + 1) * width + 0.005 for i, depth in enumerate(got))
    assert got != parse_depths(f"random:{count}", seed + 1)
