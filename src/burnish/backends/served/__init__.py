"""Models that a server lets answer and score, over the completions interface of OpenAI: vLLM, and others."""
