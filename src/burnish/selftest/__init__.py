"""The self-test of an annotator, on planted pairs or on labelled pairs. In both the better side is known."""
