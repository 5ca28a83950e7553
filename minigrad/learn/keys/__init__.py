"""One module an exercise: its hints, its cases and the mistakes that are known."""
