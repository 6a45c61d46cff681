"""Where the sources of mounts lie, and what identifies their content."""
