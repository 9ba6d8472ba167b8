"""People as annotators: the pairs that wait for them, and their verdicts."""
