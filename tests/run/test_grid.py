"""The grid: every step once, short contexts first, deep needles before shallow ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hisa_eval.run.grid import Step, cells_of, make_grid

grids = st.builds(
    make_grid,
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.lists(st.floats(0, 100), min_size=1, max_size=4),
    st.integers(1, 3),
    st.lists(st.sampled_from(["dsa", "hisa", "block-sparse"]), min_size=1, max_size=3),
)


@given(grids)
def test_every_step_comes_once_and_belongs_to_a_cell(grid) -> None:  # type: ignore[no-untyped-def]
    steps = list(grid.steps())
    assert len(steps) == len(set(steps)) == len(grid)
    cells = cells_of(grid)
    assert {step.cell for step in steps} == set(cells)
    assert set(cells.values()) == {grid.samples}
    assert len(cells) * grid.samples == len(grid)


def test_the_order_is_length_then_indexer_then_sample_then_depth_descending() -> None:
    grid = make_grid([8, 4], [0, 100, 50], 2, ["dsa", "hisa"])
    steps = list(grid.steps())
    assert [step.length for step in steps] == [4] * 12 + [8] * 12
    assert steps[:7] == [
        Step(4, "dsa", 0, 100),
        Step(4, "dsa", 0, 50),
        Step(4, "dsa", 0, 0),
        Step(4, "dsa", 1, 100),
        Step(4, "dsa", 1, 50),
        Step(4, "dsa", 1, 0),
        Step(4, "hisa", 0, 100),
    ]


def test_only_what_follows_the_needle_is_computed_again() -> None:
    grid = make_grid([8], [0, 25, 90], 1, ["dsa"])
    assert [grid.computed_fraction(step) for step in grid.steps()] == [1.0, 0.75, 1.0]
