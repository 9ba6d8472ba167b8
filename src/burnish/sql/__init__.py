"""Model-written SQL: taken out of text, run where it can do no harm, its results compared."""
