"""The pages of a study: those for the people who answer, and those for the administrator."""
