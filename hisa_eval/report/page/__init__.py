"""`report.html`: everything of a run in one file that asks the network for nothing."""

from hisa_eval.report.page.parts import Inlined, Page, Picture, Section, inline
from hisa_eval.report.page.render import html_page

__all__ = ["Inlined", "Page", "Picture", "Section", "html_page", "inline"]
