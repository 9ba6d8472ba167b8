"""SQL that models write: finds it in texts, runs it where it can do no harm, and compares the results."""
