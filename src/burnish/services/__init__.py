"""Clients of services outside this process: servers of models and embeddings, and the user's own programs."""
