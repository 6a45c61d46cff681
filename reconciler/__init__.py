"""GitOps for Docker Compose on one always-on machine: a commit is a transaction."""

__version__ = "0.2.0"
