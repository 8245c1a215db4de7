"""One attempt of one job, from claim to outcome: a row of named steps over one record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from simulator.blobs.port import Blobs
from simulator.worker.frames import canonical
from simulator.worker.handlers import synthetic
from simulator.worker.slots import ClientFault, Crashed, Slots
from zjops.domain.clock import Clock
from zjops.domain.errors import BlobMissing
from zjops.domain.events import Outcome, Work
from zjops.domain.jobs import INLINE_RESULT_BYTES, INVALID_PARAMETERS, MAX_ATTEMPTS, OutcomeKind

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_MESSAGES = {
    OutcomeKind.RETRY: "A synthetic failure that another attempt may mend.",
    OutcomeKind.FAILED: "A synthetic failure.",
    OutcomeKind.CLIENT_FAULT: "A synthetic fault of the client.",
}


@dataclass(slots=True)
class Attempt:
    """What is known of an attempt as it goes through the steps. Times are Unix ms."""

    work: Work
    number: int
    started_at: int
    on_progress: Callable[[int], None] = lambda _: None
    parameters: dict[str, Any] = field(default_factory=dict)
    kind: OutcomeKind = OutcomeKind.DONE
    result: bytes | None = None
    error_code: str | None = None
    error_message: str | None = None


class Executor:
    """Runs attempts. Whatever happens to the job is a value; only the platform's own trouble is raised."""

    def __init__(self, slots: Slots, blobs: Blobs, clock: Clock) -> None:
        self._slots, self._blobs, self._clock = slots, blobs, clock

    async def execute(self, attempt: Attempt) -> Outcome:
        """Run one attempt to its outcome. Cancelling it ends the job's code and yields `CANCELLED`."""
        try:
            if self._is_exhausted(attempt):
                return self._report(attempt, OutcomeKind.EXHAUSTED, "dead_letter", f"{MAX_ATTEMPTS} attempts failed.")
            await self._fetch_parameters(attempt)
            await self._compute(attempt)
            return await self._deliver(attempt)
        except TimeoutError:
            text = f"The job ran longer than {attempt.work.timeout_s} s."
            return self._report(attempt, OutcomeKind.TIMEOUT, "timeout", text)
        except asyncio.CancelledError:
            return self.cancelled(attempt)
        except ClientFault as exc:
            return self._report(attempt, OutcomeKind.CLIENT_FAULT, INVALID_PARAMETERS, str(exc))
        except Crashed as exc:
            return self._report(attempt, OutcomeKind.RETRY, exc.code, str(exc))
        except BlobMissing as exc:
            return self._report(attempt, OutcomeKind.RETRY, "payload_missing", str(exc))

    def cancelled(self, attempt: Attempt) -> Outcome:
        """The outcome of an attempt that was not wanted any more before it began."""
        return self._report(attempt, OutcomeKind.CANCELLED, None, None)

    def _is_exhausted(self, attempt: Attempt) -> bool:
        return attempt.number > MAX_ATTEMPTS

    async def _fetch_parameters(self, attempt: Attempt) -> None:
        work = attempt.work
        if work.parameters_sha256:
            data = await self._blobs.get(work.parameters_sha256)
        else:
            data = b"{}" if isinstance(work.parameters, msgspec.UnsetType) else bytes(work.parameters)
        attempt.parameters = _decode(data)

    async def _compute(self, attempt: Attempt) -> None:
        if attempt.parameters.get("algorithm") == synthetic.NAME:
            await self._pretend(attempt)
        else:
            work = attempt.work
            async with asyncio.timeout(work.timeout_s):
                attempt.result = await self._slots.run(work.job_type, attempt.parameters, attempt.on_progress)

    async def _pretend(self, attempt: Attempt) -> None:
        """The synthetic algorithm takes its time and ends as drawn; it needs no child."""
        planned = synthetic.plan(attempt.parameters, attempt.work.job_id, attempt.number)
        most_s = attempt.work.timeout_s
        if planned.duration_s:
            await self._clock.sleep(min(planned.duration_s, most_s))
        if planned.duration_s > most_s:
            raise TimeoutError
        if planned.failure is not None:
            attempt.kind = planned.failure
            fault = planned.failure is OutcomeKind.CLIENT_FAULT
            attempt.error_code = INVALID_PARAMETERS if fault else "synthetic"
            attempt.error_message = _MESSAGES[planned.failure]
        else:
            attempt.result = canonical(planned.result)

    async def _deliver(self, attempt: Attempt) -> Outcome:
        """Small results travel with the outcome, large ones by their digest (C25)."""
        result = attempt.result
        if result is None:
            return self._report(attempt, attempt.kind, attempt.error_code, attempt.error_message)
        if len(result) <= INLINE_RESULT_BYTES:
            return self._report(
                attempt, OutcomeKind.DONE, None, None, result=msgspec.Raw(result), result_bytes=len(result)
            )
        # Said as of now: however long the blob takes, the job has ended.
        ended_at = self._clock.now_ms()
        digest = await self._blobs.put(result)
        outcome = self._report(
            attempt, OutcomeKind.DONE, None, None, result_sha256=digest, result_bytes=len(result)
        )  # fmt: skip
        return msgspec.structs.replace(outcome, ended_at=ended_at)

    def _report(
        self, attempt: Attempt, kind: OutcomeKind, code: str | None, message: str | None, **result: Any
    ) -> Outcome:
        return Outcome(
            job_id=attempt.work.job_id, attempt=attempt.number, kind=kind, started_at=attempt.started_at,
            ended_at=self._clock.now_ms(), error_code=code, error_message=message,
            traceparent=attempt.work.traceparent, **result,
        )  # fmt: skip
