"""What a commit says: files, documents and variables, read strictly, each finding with its place."""
