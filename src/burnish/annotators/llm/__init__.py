"""A language model on an OpenAI-compatible server as an annotator: questions, calls, replies, verdicts."""
