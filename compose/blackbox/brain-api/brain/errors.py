"""Why a request cannot be answered. Each error has a status and a code for programs, which does not change."""

from __future__ import annotations


class ApiError(Exception):
    """Sent to the client as {"error": {"code", "message", "request_id"}}."""

    status = 400
    code = "bad_request"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.code


class NotFound(ApiError):
    status = 404
    code = "not_found"


class Conflict(ApiError):
    status = 409
    code = "conflict"


class Unauthorized(ApiError):
    status = 401
    code = "unauthorized"


class Forbidden(ApiError):
    status = 403
    code = "forbidden"


class TooLarge(ApiError):
    status = 413
    code = "too_large"


class NotConfigured(ApiError):
    status = 501
    code = "not_configured"


class Refused(ApiError):
    """The model refuses a text, for instance because it is too long."""

    status = 422
    code = "embeddings_refused"


class Unavailable(ApiError):
    """A database or a model does not answer now. The code says which."""

    status = 503
    code = "unavailable"
