"""What is asked outside this process: servers of models and embeddings, and a user's program."""
