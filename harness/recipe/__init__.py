"""Recipes in, plans out. Reading files is in `load` and `catalog`; everything else is pure."""
