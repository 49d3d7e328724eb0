"""The kinds of question, one a module: `build(n_chars, n_questions, *parts)` makes a context."""
