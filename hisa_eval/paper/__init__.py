"""The HISA paper's figures and tables from finished runs, beside the paper's own numbers."""

from hisa_eval.paper.build import PaperReport, build_paper

__all__ = ["PaperReport", "build_paper"]
