"""Several processes that serve together: one watches, the others work."""
