"""Scores over the context length, a panel for each task."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from hisa_eval.report.figures.by_length import draw_lines, length_axis, panel_row
from hisa_eval.report.figures.legend import fitted_legend
from hisa_eval.report.study import Study

MOST_ACROSS = 4


def draw_tasks(study: Study, scores: pd.DataFrame, tasks: Sequence[str]) -> Figure:
    """Mean score with its interval, all indexers, each a little beside the other.

    Args:
        study: What was run.
        scores: Grouped by task and length.
        tasks: In the order of the panels.
    """
    across = min(MOST_ACROSS, len(tasks))
    down = math.ceil(len(tasks) / across)
    figure, panels, width = panel_row(down, across, len(study.lengths))
    places = list(panels.flat)
    for axes, task in zip(places, tasks, strict=False):
        draw_lines(axes, study, scores[scores["task"] == task])
        length_axis(axes, study.lengths, width)
        axes.set_title(task.rpartition("/")[2], loc="left")
        axes.set(ylim=(-0.04, 1.04))
    for axes in places[len(tasks) :]:
        axes.set_axis_off()
    for row in panels:
        row[0].set_ylabel("score, 95% interval")
    for axes in places[max(0, len(tasks) - across) : len(tasks)]:
        axes.set_xlabel("context length (tokens)")
        axes.tick_params(axis="x", labelbottom=True)
    fitted_legend(figure, figure.axes[0].get_legend_handles_labels()[0], "upper")
    return figure
