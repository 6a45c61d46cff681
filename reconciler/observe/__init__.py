"""May read: git, Compose's rendering, the engine, the host.

Changes nothing but its own cache; ARCHITECTURE.md names the exceptions.
"""
