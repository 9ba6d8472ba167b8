"""The verbs over a finished refinement's folder: diff, show, revert, push, and the files that people fill in."""
