"""What a selection costs: settings of a measurement, its folder, and a model's own inputs for it."""
