"""Names by which an env file would steer Compose, Docker or the reconciler instead of giving values to a stack.

From the manuals of Compose ("pre-defined environment variables") and of the Docker CLI. Other names with the same
beginning, such as DOCKER_REGISTRY, are ordinary ones.
"""

from __future__ import annotations

PROFILES, PROJECT = "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"
FILES, SEPARATOR = "COMPOSE_FILE", "COMPOSE_PATH_SEPARATOR"

_NAMES = frozenset(
    f"COMPOSE_{name}"
    for name in (
        "ANSI", "API_VERSION", "BAKE", "COMPATIBILITY", "CONVERT_WINDOWS_PATHS", "DISABLE_ENV_FILE",
        "DOCKER_CLI_BUILD", "ENV_FILES", "FILE", "HTTP_TIMEOUT", "IGNORE_ORPHANS", "INTERACTIVE_NO_CLI", "MENU",
        "PARALLEL_LIMIT", "PATH_SEPARATOR", "PROFILES", "PROGRESS", "PROJECT_NAME", "REMOVE_ORPHANS",
        "STATUS_STDOUT", "TLS_VERSION",
    )
) | frozenset(
    f"DOCKER_{name}"
    for name in (
        "API_VERSION", "AUTH_CONFIG", "BUILDKIT", "CERT_PATH", "CONFIG", "CONTENT_TRUST", "CONTENT_TRUST_SERVER",
        "CONTEXT", "CUSTOM_HEADERS", "DEFAULT_PLATFORM", "HIDE_LEGACY_COMMANDS", "HOST", "TLS", "TLS_VERIFY",
    )
)  # fmt: skip
_FAMILIES = ("COMPOSE_EXPERIMENTAL_", "DOCKER_CLI_", "DOCKER_BUILDX_", "RECONCILER_")


def steers(name: str) -> bool:
    """Whether a variable of this name cannot be a value for a stack."""
    return name in _NAMES or name.startswith(_FAMILIES)
