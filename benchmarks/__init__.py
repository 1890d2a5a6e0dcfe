"""Measured comparisons, not shipped: the masked read and the import against the machine's best. Run `python -m benchmarks`."""
