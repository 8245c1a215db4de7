"""The mempool's rules, geth's words."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.chain.devnet.pool import MOST, Pool, Refused, Waiting

RICH = 10**30
ANN, BEN = b"a" * 20, b"b" * 20


def tx(nonce: int, sender: bytes = ANN, fee: int = 100, tip: int = 10, name: str = "") -> Waiting:
    digest = f"{sender.hex()}{nonce}{fee}{tip}{name}".encode().ljust(64, b".")[:64]
    return Waiting(digest, sender, nonce, 21_000, 0, fee, tip, None)


def order(pool: Pool, base_fee: int = 0, **nonces: Any) -> list[tuple[bytes, int]]:
    known = {ANN: nonces.get("ann", 0), BEN: nonces.get("ben", 0)}
    return [(w.sender, w.nonce) for w in pool.executable(base_fee, lambda sender: known[sender])]


def test_a_gap_waits_until_it_is_filled() -> None:
    pool = Pool()
    for nonce in (0, 2, 3):
        pool.add(tx(nonce), 0, RICH)
    assert order(pool) == [(ANN, 0)]
    assert pool.next_nonce(ANN, 0) == 1
    pool.add(tx(1), 0, RICH)
    assert [nonce for _, nonce in order(pool)] == [0, 1, 2, 3]
    assert pool.next_nonce(ANN, 0) == 4


def test_the_best_tip_goes_first_and_nonces_stay_in_order() -> None:
    pool = Pool()
    pool.add(tx(0, ANN, tip=1), 0, RICH)
    pool.add(tx(1, ANN, tip=90), 0, RICH)
    pool.add(tx(0, BEN, tip=50), 0, RICH)
    assert order(pool) == [(BEN, 0), (ANN, 0), (ANN, 1)]


def test_whoever_cannot_pay_the_base_fee_waits_with_all_that_follow() -> None:
    pool = Pool()
    pool.add(tx(0, ANN, fee=50), 0, RICH)
    pool.add(tx(1, ANN, fee=500), 0, RICH)
    pool.add(tx(0, BEN, fee=500), 0, RICH)
    assert order(pool, base_fee=100) == [(BEN, 0)]


@pytest.mark.parametrize(("fee", "tip", "good"), [(110, 11, True), (109, 11, False), (110, 10, False), (90, 90, False)])
def test_a_replacement_pays_a_tenth_more_on_both_fees(fee: int, tip: int, good: bool) -> None:
    pool, old = Pool(), tx(0)
    pool.add(old, 0, RICH)
    if good:
        assert pool.add(tx(0, fee=fee, tip=tip), 0, RICH) is old
        assert pool.get(old.hash) is None
    else:
        with pytest.raises(Refused, match="replacement transaction underpriced"):
            pool.add(tx(0, fee=fee, tip=tip), 0, RICH)
        assert pool.get(old.hash) is old
    assert len(pool) == 1


def test_refusals_in_geths_words() -> None:
    pool = Pool()
    pool.add(tx(5), 5, RICH)
    with pytest.raises(Refused, match="already known"):
        pool.add(tx(5), 5, RICH)
    with pytest.raises(Refused, match="nonce too low: next nonce 5, tx nonce 4"):
        pool.add(tx(4), 5, RICH)
    with pytest.raises(Refused, match="insufficient funds"):
        pool.add(tx(6), 5, 100)


def test_a_full_pool_takes_replacements_only() -> None:
    pool = Pool()
    for nonce in range(MOST):
        pool.add(tx(nonce), 0, RICH)
    with pytest.raises(Refused, match="txpool is full"):
        pool.add(tx(MOST), 0, RICH)
    pool.add(tx(0, fee=200, tip=20), 0, RICH)
    assert len(pool) == MOST


def test_what_a_block_has_overtaken_is_stale() -> None:
    pool = Pool()
    for nonce in (0, 1, 2):
        pool.add(tx(nonce), 0, RICH)
    assert len(pool.stale(lambda sender: 2)) == 2
    for tx_hash in pool.stale(lambda sender: 2):
        pool.remove(tx_hash)
    assert pool.hashes() == [tx(2).hash]
