"""How answers are scored: one metric a file, each a function of references and one prediction to 0..1."""
