"""Records → figures. Pure: the same stored run gives the same numbers, on any machine, at any time. Formulas: `docs/metrics.md`."""
