"""Records → figures. Pure: the same stored run gives the same numbers on any machine. Formulas: `docs/metrics.md`."""
