"""The verb `reward`: reward models from people's preference pairs, and what they are worth."""
