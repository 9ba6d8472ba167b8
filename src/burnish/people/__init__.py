"""People as annotators: what waits for them, and what they have said."""
