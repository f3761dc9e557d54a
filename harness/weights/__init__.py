"""How many bytes a decoded token costs: from the headers of a model's files, or from a recipe's metadata."""
