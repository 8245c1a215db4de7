"""The filter language against a slow filter that knows no SQL, and what is said of a bad one."""

from __future__ import annotations

import fnmatch
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.zjops.recording.told import START, job_id, life, recorded
from zjops.domain.jobs import Charge, JobState, JobType
from zjops.recording.changes import Changes
from zjops.recording.filters import DURATION, FIELDS, TEXT, FilterError, completions, parse
from zjops.recording.reader import Recording, Sort
from zjops.recording.recorder import Recorder
from zjops.recording.rows import JobRow

OUTCOMES = ("completed", "failed", "cancelled")


def _world() -> list[JobRow]:
    """Sixty jobs that stand at every stage, with tenants and types that differ."""
    changes = Changes()
    for number in range(60):
        accepted = START + number * 1_000
        stage = number % 4
        life(
            changes, number, accepted=accepted, started=accepted + 20 if stage else None,
            ended=accepted + 20 + number * 7 if stage > 1 else None, outcome=OUTCOMES[number % 3],
            final=accepted + 9_000 if stage == 3 and number % 3 != 2 else None,
            tenant=("acme", "acme-eu", "b[1]?")[number % 3], job_type=("ml_inference", "compute_heavy")[number % 2],
            compute_units=number * 10, error_code=("boom", "invalid_parameters")[number % 2],
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        recording = recorded(Path(folder), [changes], START)
        rows = [recording.numbered(n) for n in range(1, 61)]
        recording.close()
    return [row for row in rows if row is not None]


WORLD = _world()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("filters")
    recorder = Recorder(folder / "w.zjrec", {})
    changes = Changes()
    changes.jobs = [(*row[1:8], row.accepted_at, *row[8:]) for row in WORLD]
    recorder.write(changes, START)
    recorder.close()
    return Recording(folder / "w.zjrec")


def _value(row: JobRow, name: str, at: int) -> str | int | None:
    seen = row.as_of(at)
    end = seen.ended_at
    values: dict[str, str | int | None] = {
        "status": seen.state, "tenant": seen.tenant, "plan": seen.plan, "type": seen.job_type, "id": seen.job_id,
        "charge": seen.charge, "error": seen.error_code, "trace": seen.trace_id, "tx": seen.tx_hash,
        "units": seen.compute_units, "attempt": seen.attempt, "bytes": seen.payload_bytes, "batch": seen.batch_id,
        "block": seen.block_number, "gas": seen.gas_share, "age": at - seen.accepted_at, "run": seen.processing_ms,
        "took": None if end is None else end - seen.accepted_at,
        "final": None if seen.final_at is None else seen.final_at - (end or seen.accepted_at),
    }  # fmt: skip
    return values[name]


def _slow(row: JobRow, name: str, sign: str, value: str, at: int) -> bool:
    """Whether a job passes one word, told by Python alone."""
    found = _value(row, name, at)
    if found is None:
        return False
    if isinstance(found, str):
        patterns = [one.replace("[", "[[]").replace("?", "[?]") for one in value.split(",")]
        return any(fnmatch.fnmatchcase(found, pattern) for pattern in patterns)
    bound = int(float(value.rstrip("s")) * 1000) if name in DURATION else int(value)
    return {":": found == bound, "=": found == bound, ">": found > bound, "<": found < bound,
            ">=": found >= bound, "<=": found <= bound}[sign]  # fmt: skip


TEXTS = st.sampled_from(
    [*JobState, "acme", "acme*", "*eu", "b[1]?", "b*", "ml_*", "compute_heavy", "boom", "*", "failed,cancelled", "pro",
     "charged", "released", "job_00*", "0x*"]
)  # fmt: skip
KNOWN_TEXTS = {
    "status": st.sampled_from([*JobState, "*", "*ed", "fail*", "failed,cancelled", "p*,confirmed"]),
    "type": st.sampled_from([*JobType, "*", "ml_*", "*_heavy,ml_*"]),
    "charge": st.sampled_from([*Charge, "*", "*ed", "held,released"]),
}
"""Of these fields nothing else means anything."""
WORD = st.one_of(
    st.sampled_from(sorted(TEXT)).flatmap(
        lambda name: st.tuples(
            st.booleans(), st.just(name), st.sampled_from([":", "="]), KNOWN_TEXTS.get(name, TEXTS).map(str)
        )
    ),
    st.tuples(
        st.booleans(), st.sampled_from(sorted(set(FIELDS) - set(TEXT) - set(DURATION))),
        st.sampled_from([":", "=", ">", "<", ">=", "<="]), st.integers(0, 700).map(str),
    ),
    st.tuples(
        st.booleans(), st.sampled_from(sorted(DURATION)), st.sampled_from([":", ">", "<", ">=", "<="]),
        st.integers(0, 70).map(lambda n: f"{n}s"),
    ),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(words=st.lists(WORD, max_size=4), later=st.integers(0, 90_000))
def test_a_filter_lets_through_what_a_slow_one_does(
    recording: Recording, words: list[tuple[bool, str, str, str]], later: int
) -> None:
    at = START + later
    text = " ".join(f"{'-' * minus}{name}{sign}{value}" for minus, name, sign, value in words)
    wanted = {
        row.job_id for row in WORLD
        if row.accepted_at <= at and all(_slow(row, n, s, v, at) is not minus for minus, n, s, v in words)
    }  # fmt: skip
    found = {row.job_id for _, row in recording.page(at, where=parse(text), limit=100)}
    assert found == wanted, text
    assert recording.count(at, parse(text)) == len(wanted)


@settings(max_examples=100, deadline=None)
@given(
    by=st.sampled_from(["age", "took", "units", "attempt"]), turned=st.booleans(), size=st.integers(1, 25),
    text=st.sampled_from(["", "tenant:acme", "-status:confirmed", "units>100"]),
)  # fmt: skip
def test_pages_joined_are_the_whole_list_in_both_directions(
    recording: Recording, by: str, turned: bool, size: int, text: str
) -> None:
    at, where, sort = START + 70_000, parse(text), Sort(by, turned)
    whole = recording.page(at, where=where, sort=sort, limit=100)
    joined, key = [], None
    while page := recording.page(at, where=where, sort=sort, key=key, limit=size):
        joined, key = joined + page, page[-1][0]
    assert joined == whole
    back, key = [], None
    while page := recording.page(at, where=where, sort=sort, key=key, backwards=True, limit=size):
        back, key = page + back, page[0][0]
    assert back == whole


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("colour:red", 0, "there is no field colour"),
        ("tenant:acme -size>3", 13, "there is no field size"),
        ("tenant>acme", 6, "tenant is text"),
        ("tenant:acme status:foo", 19, "there is no status foo; there are pending, processing, completed, failed, "),
        ("-status:failed,foo", 8, "there is no status foo"),
        ("status:x*", 7, r"there is no status x\*; there are"),
        ("type:ml", 5, "there is no type ml; there are compute_heavy, "),
        ("charge:free", 7, "there is no charge free"),
        ("age>", 4, "needs a value"),
        ("age>soon", 4, "a duration such as"),
        ("units>5m", 6, "a whole number"),
        ("units>" + "9" * 400, 6, "a whole number"),
        ('tenant:"acme', 7, "has no end"),
        ("x " * 51, 100, "at most 50 words"),
        ("y" * 2_001, 2_000, "at most 2,000 characters"),
    ],
)
def test_a_bad_filter_says_what_is_wrong_and_where(text: str, place: int, said: str) -> None:
    with pytest.raises(FilterError, match=said) as caught:
        parse(text)
    assert caught.value.place == place


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300))
def test_whatever_is_typed_is_a_filter_or_an_error_at_a_place(recording: Recording, text: str) -> None:
    completions(text)
    try:
        where = parse(text)
    except FilterError as error:
        place = error.place
    else:
        place = recording.count(START, where) * 0
    assert 0 <= place <= len(text)


def test_a_word_alone_is_part_of_an_id(recording: Recording) -> None:
    at = START + 100_000
    assert [row.job_id for _, row in recording.page(at, where=parse("0042"))] == [job_id(42)]
    assert recording.count(at, parse("-0042")) == len(WORLD) - 1


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sta", ["status:"]),
        ("tenant:acme -ty", ["tenant:acme -type:"]),
        ("status:fai", ["status:failed"]),
        ("status:failed,con", ["status:failed,confirmed"]),
        ("tenant:ac", ["tenant:acme", "tenant:acme-eu"]),
        ("ag", ["age>"]),
        ("", []),
        ("colour:", []),
    ],
)
def test_completions_finish_the_last_word(text: str, wanted: list[str]) -> None:
    assert completions(text, ["acme", "acme-eu", "demo"]) == wanted
