"""Sources of mounts: their place on the host, and the digest of their content."""
