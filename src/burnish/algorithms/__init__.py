"""Pure algorithms: what is computed from values alone, without files, models or servers."""
