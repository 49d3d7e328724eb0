"""Long-context tasks: what is asked of a model and how its answer is scored. No torch in here."""
