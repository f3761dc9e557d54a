"""Results, published figures, prices, ratings and terms → one table. What of an entry is not known, says why."""
