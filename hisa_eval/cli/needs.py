"""What `--dry-run` says of a checkpoint too large to be loaded for a forecast."""

from __future__ import annotations

from collections.abc import Sequence

DEFAULT_LENGTHS = (32768, 131072)


def show_needs(model: str, lengths: Sequence[int] | None, engine: str | None, as_json: bool) -> bool:
    """Memory layer by layer, GPUs and least time; nothing is fetched, loaded or written.

    Args:
        model: As `--model`.
        lengths: Of the run; two usual ones where the suite has none.
        engine: The command of a serving engine that a preset names.
        as_json: One JSON value on standard output.

    Returns:
        Whether it was said; False for a model that a forecast can load and time.

    Raises:
        UserError: the model is not known.
    """
    from hisa_eval.cli.output import print_json, print_table
    from hisa_eval.config.grammar import format_length
    from hisa_eval.models import registry
    from hisa_eval.models.sizing import REACHED, needs_of
    from hisa_eval.run.needs import GIB, GPUS, groups_of, needs_by_length

    if not registry.is_large(model):
        return False
    needs = needs_of(registry.shape_of(model))
    layers = groups_of(needs)
    rows = needs_by_length(needs, lengths or DEFAULT_LENGTHS)
    if as_json:
        print_json(
            {
                "model": model,
                "parameters": needs.parameters,
                "layers": layers,
                "lengths": rows,
                "engine": engine,
            }
        )
        return True
    print_table(
        ["layers", "kind", "parameters each", "bf16", "of it indexer", "cache a token"],
        [
            [
                f"{row['first']}–{row['last']}",
                row["kind"],
                f"{row['parameters']:,}",
                f"{2 * row['parameters'] / GIB:,.2f} GiB",
                f"{2 * row['indexer_parameters'] / GIB:,.3f} GiB",
                f"{row['cache_bytes_per_token']:,} B",
            ]
            for row in layers
        ],
        title=f"{model}: {needs.parameters / 1e9:,.1f} B parameters",
        right=["parameters each", "bf16", "of it indexer", "cache a token"],
    )
    print_table(
        ["length", "weights in", "weights", "cache of one prompt", *GPUS, "least prefill"],
        [
            [
                format_length(row["length"]),
                row["weights"],
                f"{row['weight_bytes'] / GIB:,.0f} GiB",
                f"{row['cache_bytes'] / GIB:,.2f} GiB",
                *("–" if count is None else str(count) for count in row["gpus"].values()),
                f"{row['least_prefill_gpu_seconds']:,.1f} GPU s",
            ]
            for row in rows
        ],
        right=["length", "weights", "cache of one prompt", *GPUS, "least prefill"],
    )
    print(
        "GPUs: the fewest that hold weights, one cache and 8 GiB each to work: bf16 with whole layers on "
        "each, as --spread layers does (FP8 files are dequantised); fp8 cut anywhere, as engines do. "
        f"Times: operations at {REACHED:.0%} of the bf16 peak, flat DSA, decoding left out."
    )
    if engine:
        print(f"engine: {engine}")
    print("nothing was fetched, loaded or written")
    return True
