"""What the audit asks of a log that is longer than fits the memory which it has."""

import duckdb

from zjops.analytics.warehouse import sql


def test_shared_numbers_of_a_long_log_are_found_in_little_memory() -> None:
    # Where a list is kept for each number, it is just so much that is not enough.
    with duckdb.connect(config={"memory_limit": "160MB", "threads": 1}) as db:
        db.execute("""CREATE TABLE events AS SELECT n AS stream_seq, 300001 - n AS outbox_no,
            from_hex(lpad(hex(n), 32, '0')) AS event_id FROM range(1, 300001) numbers (n)""")
        db.execute("CREATE TABLE ops AS SELECT * FROM events WHERE stream_seq = 7")
        db.execute("UPDATE ops SET event_id = '\\x05'::BLOB")
        found = db.execute(sql("shared_numbers")).fetchall()
    assert found == [("outbox", 299_994, [b"\x00" * 15 + b"\x07", b"\x05"])]
