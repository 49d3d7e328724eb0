"""Tables, figures and the page of a run; reads run stores, never a model."""

from hisa_eval.report.build import ReportPaths, build_report

__all__ = ["ReportPaths", "build_report"]
