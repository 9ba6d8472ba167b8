"""A language model on an OpenAI-compatible server, as an annotator or as a proposer: questions, calls, replies."""
