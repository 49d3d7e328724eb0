"""GPU kernels in TileLang for Hopper; every operator here has its definition in `hisa_kernels.reference`."""
