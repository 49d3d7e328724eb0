"""Prompts of the suite's data sets; a row's `input` ends where the answer begins."""

from __future__ import annotations

TEMPLATES = {
    "lookup": "This chronicle will be asked about.\n\n{context}\n\n{input}",
    "two_documents": "These documents will be asked about.\n\n{context}\n\n{input}",
    "main_point": "This report will be asked about.\n\n{context}\n\n{input}",
    "label": "Each utterance has an intent.\n\n{context}\n\n{input}",
    "passage": "These paragraphs will be asked about.\n\n{context}\n\n{input}",
    "count": "Mind the lamps in this tale.\n\n{context}\n\n{input}",
    "call": "{context}\n\n{input}",
}
