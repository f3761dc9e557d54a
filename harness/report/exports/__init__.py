"""Results in others' formats. What a format has no place for is left out and said, what it wants and we do not have stays empty."""
