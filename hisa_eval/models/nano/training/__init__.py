"""How the nano checkpoints were trained; run `python -m hisa_eval.models.nano.training.train --help`."""
