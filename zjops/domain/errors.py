"""The error tree of the project.

    ZjopsError
    ├── UsageError            the caller asked for something impossible             exit 2
    ├── UnreachableError      a platform, broker, chain or file is not there now    exit 3
    │   ├── StoreUnavailable
    │   ├── BrokerUnavailable
    │   ├── ChainUnavailable
    │   └── FileUnavailable
    ├── InvariantError        something that must never be, is                      exit 4
    ├── UntrustedError        a measurement cannot be trusted                       exit 5
    ├── Fenced                another holder of a lease or a stream was here first
    ├── ChainRefused          the chain answered no, with a reason
    ├── BlobMissing           no blob of that digest
    └── Problem               an answer of the API (RFC 9457), with its code

A user sees `str(error)`: what, why, and the command that mends it; never a traceback.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class ZjopsError(Exception):
    """Root of everything this project raises on purpose."""

    exit_code = 1


class UsageError(ZjopsError):
    """Wrong usage or settings."""

    exit_code = 2


class UnreachableError(ZjopsError):
    """Something that should answer does not; trying again may help."""

    exit_code = 3


class StoreUnavailable(UnreachableError):
    """The store cannot be read or written."""


class BrokerUnavailable(UnreachableError):
    """The broker does not answer."""


class ChainUnavailable(UnreachableError):
    """The chain's JSON-RPC endpoint does not answer; `reason` says how in one word, for metrics."""

    def __init__(self, message: str, reason: str = "rpc_unavailable") -> None:
        super().__init__(message)
        self.reason = reason


class FileUnavailable(UnreachableError):
    """A file cannot be written now, as on a full disk; `reason` says which in one word, for metrics."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class InvariantError(ZjopsError):
    """An invariant or a reconciliation is broken."""

    exit_code = 4


class UntrustedError(ZjopsError):
    """The measurement cannot be trusted, or cannot tell."""

    exit_code = 5


class Fenced(ZjopsError):
    """Somebody else holds the lease or wrote the stream; `actual_last` is the stream's last sequence then."""

    def __init__(self, actual_last: int = 0) -> None:
        super().__init__(f"fenced by another writer (last sequence {actual_last})")
        self.actual_last = actual_last


class ChainRefused(ZjopsError):
    """The chain refused a transaction or a call; `reason` says why in one word, for metrics."""

    def __init__(self, message: str, reason: str = "refused") -> None:
        super().__init__(message)
        self.reason = reason


class BlobMissing(ZjopsError):
    """No blob has that digest."""


class ProblemKind(NamedTuple):
    """One row of the problem table: stable code, HTTP status and title."""

    code: str
    status: int
    title: str


ERROR_BASE = "https://api.zama.ai/errors/"

PROBLEMS: dict[str, ProblemKind] = {
    kind.code: kind
    for kind in (
        ProblemKind("malformed-request", 400, "Malformed request"),
        ProblemKind("idempotency-key-missing", 400, "Idempotency-Key is required"),
        ProblemKind("idempotency-key-malformed", 400, "Idempotency-Key is not a UUID version 4"),
        ProblemKind("invalid-parameter", 400, "Invalid parameter"),
        ProblemKind("version-unsupported", 400, "Unsupported version"),
        ProblemKind("unauthorized", 401, "Unauthorized"),
        ProblemKind("quota-exceeded", 402, "Compute unit quota exceeded"),
        ProblemKind("insufficient-scope", 403, "Insufficient scope"),
        ProblemKind("tenant-suspended", 403, "Tenant suspended"),
        ProblemKind("address-banned", 403, "Address banned for a while"),
        ProblemKind("not-found", 404, "Not found"),
        ProblemKind("method-not-allowed", 405, "Method not allowed"),
        ProblemKind("request-timeout", 408, "Request timeout"),
        ProblemKind("job-not-cancellable", 409, "Job can no longer be cancelled"),
        ProblemKind("idempotency-key-in-use", 409, "A request with this Idempotency-Key is running"),
        ProblemKind("not-final", 409, "The job is not confirmed yet"),
        ProblemKind("conflict", 409, "Conflict"),
        ProblemKind("payload-too-large", 413, "Content Too Large"),
        ProblemKind("unsupported-media-type", 415, "Unsupported media type"),
        ProblemKind("validation-failed", 422, "Unprocessable Content"),
        ProblemKind("webhook-target-refused", 422, "Webhook target refused"),
        ProblemKind("idempotency-key-reused", 422, "Idempotency-Key was used with another payload"),
        ProblemKind("upgrade-required", 426, "Upgrade Required"),
        ProblemKind("rate-limit-exceeded", 429, "Rate limit exceeded"),
        ProblemKind("overage-limit-reached", 429, "Maximum overage limit reached"),
        ProblemKind("too-many-active-jobs", 429, "Too many active jobs"),
        ProblemKind("headers-too-large", 431, "Request Header Fields Too Large"),
        ProblemKind("internal-error", 500, "Internal error"),
        ProblemKind("unavailable", 503, "Service unavailable"),
        ProblemKind("overloaded", 503, "Temporarily reduced capacity"),
        ProblemKind("circuit-open", 503, "Circuit breaker open"),
    )
}


class FieldError(NamedTuple):
    """One rejected field: RFC 6901 pointer as a URI fragment (`#/timeoutSeconds`) and what is wrong with it."""

    pointer: str
    detail: str


class Problem(ZjopsError):
    """An error answer of the API.

    Raised by the platform's rules and by the client; the gateway turns it into `application/problem+json`
    (RFC 9457) and the client turns such a document back into it.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: list[FieldError] | None = None,
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
        trace_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = PROBLEMS.get(code) or ProblemKind(code, 500, code)
        self.detail = detail
        self.errors = errors or []
        self.headers = headers or {}
        self.extra = extra or {}
        self.trace_id = trace_id

    @property
    def status(self) -> int:
        """The HTTP status of this problem."""
        return self.kind.status

    def document(self, instance: str, trace_id: str) -> dict[str, Any]:
        """The problem document (RFC 9457), with the design's members `trace_id`, `code` and `errors`."""
        body: dict[str, Any] = {
            "type": ERROR_BASE + self.kind.code,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.kind.code,
            "trace_id": trace_id,
        }
        if self.errors:
            body["errors"] = [
                {
                    "pointer": e.pointer,
                    "detail": e.detail,
                    "field": e.pointer[2:].replace("/", "."),
                    "message": e.detail,
                }
                for e in self.errors
            ]
        return body | self.extra
