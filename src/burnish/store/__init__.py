"""The store on disk: files, stages, the runners that compute stages, identities, and garbage collection."""
