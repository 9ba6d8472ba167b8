"""The self-test of an annotator: on planted pairs, or on pairs whose better side is known."""
