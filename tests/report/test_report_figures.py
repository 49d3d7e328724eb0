"""Figures: what they show, and that it can be read."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from hisa_eval.report.accuracy import grouped_scores
from hisa_eval.report.fidelity import evidence, fidelity
from hisa_eval.report.figures.by_length import draw_accuracy, draw_evidence
from hisa_eval.report.figures.heatmaps import difference_grids, draw_differences, draw_scores, score_grids
from hisa_eval.report.figures.iou import draw_iou_by_layer, draw_iou_by_length
from hisa_eval.report.figures.theme import (
    COLOURS,
    CSS_NAMES,
    FAILED,
    INK,
    difference_map,
    house_style,
    score_map,
    series_styles,
    text_colour,
)
from hisa_eval.report.study import Study, load_study

SHAPES = {
    "2x3": {"lengths": (8192, 16384), "depths": (0.0, 50.0, 100.0)},
    "5x5": {"lengths": tuple(8192 * 2**n for n in range(5)), "depths": (0.0, 25.0, 50.0, 75.0, 100.0)},
    "odd": {"lengths": (8191, 8192, 8193, 100_000), "depths": (3.14, 33.33, 66.67)},
    "30x11": {
        "lengths": tuple(4096 * n for n in range(1, 31)),
        "depths": tuple(10.0 * n for n in range(11)),
        "indexers": ("dsa", "hisa", "hisa:block_size=64,num_blocks=128", "block-sparse"),
    },
}


def holes(fail: Callable[..., Any]) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """In `hisa`, the first cell fails, the second in part, and the last is not run."""

    def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        own = [record for record in records if record["indexer"] == "hisa"]
        first, last = own[0], own[-1]
        out = []
        for record in records:
            place = (record["indexer"], record["length"], record["depth"])
            if place == ("hisa", last["length"], last["depth"]):
                continue
            broken = place == ("hisa", first["length"], first["depth"])
            broken = broken or (place == ("hisa", first["length"], 50.0) and record["sample"] == 0)
            out.append(fail(record) if broken else record)
        return out

    return change


@pytest.fixture(scope="module", params=list(SHAPES))
def study(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    write: Callable[..., Path],
    fail: Callable[..., Any],
) -> Study:
    samples = 1 if request.param == "30x11" else 2
    path = tmp_path_factory.mktemp("figures") / "run"
    return load_study([write(path, **SHAPES[request.param], samples=samples, layers=2, change=holes(fail))])


def texts_of(figure: Figure) -> list[Text]:
    """Every visible text that is drawn; a panel's hidden tick labels are not."""
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        found += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            found += [label for tick in ticks for label in (tick.label1, tick.label2) if label.get_visible()]
    return [text for text in found if text is not None and text.get_visible() and text.get_text().strip()]


def unreadable(figure: Figure) -> list[str]:
    """Texts that run over another or out of the figure, or are too small."""
    figure.draw_without_rendering()
    drawn = texts_of(figure)
    assert drawn
    boxes = [text.get_window_extent().shrunk(0.98, 0.9) for text in drawn]
    page = figure.bbox.padded(1)
    found = [
        f"{text.get_text()!r} leaves the figure"
        for text, box in zip(drawn, boxes, strict=True)
        if not (page.contains(box.x0, box.y0) and page.contains(box.x1, box.y1))
    ]
    found += [f"{text.get_text()!r} is too small" for text in drawn if text.get_fontsize() < 4]
    found += [
        f"{one.get_text()!r} runs over {two.get_text()!r}"
        for (one, first), (two, second) in itertools.combinations(zip(drawn, boxes, strict=True), 2)
        if first.overlaps(second)
    ]
    return found


def test_all_figures_can_be_read(study: Study) -> None:
    grids = score_grids(study, grouped_scores(study, ["length", "depth"]))
    minus = difference_grids(study, grids)
    drawn = {
        "scores": lambda: draw_scores([*grids.values()]),
        "one": lambda: draw_scores([grids["hisa"]]),
        "differences": lambda: draw_differences([*minus.values()]),
        "accuracy": lambda: draw_accuracy(study, grouped_scores(study, ["length"])),
        "evidence": lambda: draw_evidence(study, evidence(study)),
        "iou by length": lambda: draw_iou_by_length(study, fidelity(study)),
        "iou by layer": lambda: draw_iou_by_layer(study, fidelity(study)),
    }
    for name, draw in drawn.items():
        with house_style():
            assert unreadable(draw()) == [], name


def test_grid_holds_the_scores_and_keeps_gaps_apart(study: Study) -> None:
    cells = grouped_scores(study, ["length", "depth"])
    grids = score_grids(study, cells)
    grid = grids["hisa"]
    shape = (len(study.depths), len(study.lengths))
    assert {one.values.shape for one in grids.values()} == {shape}
    assert np.isnan(grid.values[0, 0])
    assert grid.failed[0, 0] > 0
    assert np.isnan(grid.values[-1, -1])
    assert grid.failed[-1, -1] == 0
    for row in cells[cells["n"] > 0].to_dict("records"):
        place = study.depths.index(row["depth"]), study.lengths.index(row["length"])
        assert grids[row["indexer"]].values[place] == row["score"]
    figure = draw_scores([grid])
    figure.draw_without_rendering()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "failed" in names
    assert "not run" in names
    hatched = [
        patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle) and patch.get_hatch()
    ]
    assert len(hatched) == int((np.isnan(grid.values) & (grid.failed > 0)).sum())
    assert {patch.get_facecolor()[:3] for patch in hatched} == {to_rgb(FAILED)}


def test_heatmaps_share_one_scale(study: Study) -> None:
    grids = score_grids(study, grouped_scores(study, ["length", "depth"]))
    figure = draw_scores([*grids.values()])
    meshes = [mesh for axes in figure.axes for mesh in axes.collections if axes.get_label() != "<colorbar>"]
    assert len(meshes) == len(grids)
    assert {mesh.get_clim() for mesh in meshes} == {(0, 1)}
    assert sum(axes.get_label() == "<colorbar>" for axes in figure.axes) == 1


def test_difference_is_nothing_where_a_side_is_missing(study: Study) -> None:
    grids = score_grids(study, grouped_scores(study, ["length", "depth"]))
    minus = difference_grids(study, grids)
    assert "dsa" not in minus
    both = np.isfinite(grids["hisa"].values) & np.isfinite(grids["dsa"].values)
    assert (np.isfinite(minus["hisa"].values) == both).all()
    figure = draw_differences([*minus.values()])
    assert figure.axes[0].collections[0].get_clim() == (-1, 1)


def luminance(colour: Any) -> float:
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], parts))


@pytest.mark.parametrize("colours", [score_map(), difference_map()])
def test_cell_text_has_contrast_on_every_colour(colours: Any) -> None:
    for step in np.linspace(0, 1, 101):
        back, text = luminance(colours(step)[:3]), luminance(text_colour(colours(step)))
        assert (max(back, text) + 0.05) / (min(back, text) + 0.05) >= 4.5


def test_score_colours_grow_lighter_all_the_way() -> None:
    colours = score_map()
    steps = [luminance(colours(step)[:3]) for step in np.linspace(0, 1, 50)]
    assert all(low < high for low, high in itertools.pairwise(steps))


def test_page_defines_every_figure_colour_for_light_and_dark() -> None:
    css = resources.files("hisa_eval.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    for colour, name in CSS_NAMES.items():
        values = re.findall(rf"{name}: (#[0-9a-f]{{6}});", css)
        assert len(values) == 2
        assert values[0] == colour
    assert len(set(CSS_NAMES.values())) == len(CSS_NAMES)


def test_series_are_told_apart() -> None:
    styles = series_styles(["hisa", "dsa", "block-sparse", *(f"own{n}" for n in range(30))])
    assert styles["dsa"].colour == INK
    assert len({(one.colour, one.marker) for one in styles.values()}) == 33
    assert len({one.marker for one in list(styles.values())[:13]}) == 13
    assert styles["hisa"].colour == COLOURS[0]


def test_lines_skip_what_has_no_value(study: Study) -> None:
    axes: Axes = draw_accuracy(study, grouped_scores(study, ["length"])).axes[0]
    low, high = axes.get_ylim()
    assert low < 0 < 1 < high
    assert len(axes.containers) == len(study.labels)
