"""The store on disk: files, stages, runners, identities, and what may be deleted."""
