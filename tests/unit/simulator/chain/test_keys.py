"""Keys of a home: made once, encrypted, taken over from a plain file, and never shown."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from eth_account import Account

from simulator.chain.keys import ensure_accounts, ensure_keys
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ChainUnavailable
from zjops.domain.ids import SystemIds

IDS = SystemIds(SystemClock())
SECRET = "0x" + "ab" * 32


def test_keys_are_made_once_and_stand_encrypted_in_files_of_their_owner(tmp_path: Path) -> None:
    keys = ensure_keys(tmp_path, IDS)
    assert ensure_keys(tmp_path, IDS) == keys
    assert keys.admin != keys.operator
    assert Account.from_key(keys.operator).address == keys.operator_address
    for path in (tmp_path / "chain").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        text = path.read_text()
        assert keys.operator[2:] not in text
        assert keys.admin[2:] not in text


def test_any_wallet_opens_the_keystore_with_its_password(tmp_path: Path) -> None:
    keys = ensure_keys(tmp_path, IDS)
    sealed = json.loads((tmp_path / "chain/operator.keystore.json").read_text())
    password = (tmp_path / "chain/password").read_text()
    assert sealed["version"] == 3
    assert sealed["crypto"]["kdf"] == "scrypt"
    assert "0x" + bytes(Account.decrypt(sealed, password)).hex() == keys.operator


def test_the_accounts_are_known_without_opening_anything(tmp_path: Path) -> None:
    keys = ensure_keys(tmp_path, IDS)
    (tmp_path / "chain/password").write_text("wrong")
    accounts = ensure_accounts(tmp_path, IDS)
    assert (accounts.admin.address, accounts.operator.address) == (keys.admin_address, keys.operator_address)
    with pytest.raises(ChainUnavailable, match="does not open"):
        accounts.operator.unlock()


def test_a_key_is_opened_in_well_under_five_seconds(tmp_path: Path) -> None:
    accounts = ensure_accounts(tmp_path, IDS)
    began = time.perf_counter()
    accounts.operator.unlock()
    assert time.perf_counter() - began < 2


def test_a_plain_key_of_an_earlier_home_is_taken_over_and_removed(tmp_path: Path) -> None:
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain/operator.key").write_text(SECRET)
    keys = ensure_keys(tmp_path, IDS)
    assert keys.operator == SECRET
    assert not (tmp_path / "chain/operator.key").exists()
    assert ensure_keys(tmp_path, IDS).operator == SECRET


def test_a_plain_key_that_is_not_the_keystores_stays_where_it_is(tmp_path: Path) -> None:
    ensure_keys(tmp_path, IDS)
    plain = tmp_path / "chain/operator.key"
    plain.write_text(SECRET)
    assert ensure_keys(tmp_path, IDS).operator != SECRET
    assert plain.exists()


def test_another_keystore_may_be_named(tmp_path: Path) -> None:
    sealed, password = tmp_path / "mine.json", tmp_path / "mine.password"
    sealed.write_text(json.dumps(Account.encrypt(SECRET, "my own", iterations=2)))
    password.write_text("my own\n")
    accounts = ensure_accounts(tmp_path, IDS, str(sealed), str(password))
    assert accounts.operator.unlock() == SECRET
    assert accounts.operator.address == Account.from_key(SECRET).address
    assert not (tmp_path / "chain/operator.keystore.json").exists()


@pytest.mark.parametrize("spoil", ["missing", "damaged", "no account"])
def test_a_keystore_that_cannot_be_read_is_one_clear_line(tmp_path: Path, spoil: str) -> None:
    ensure_keys(tmp_path, IDS)
    file = tmp_path / "chain/operator.keystore.json"
    file.write_text({"missing": "", "damaged": "{", "no account": "{}"}[spoil])
    with pytest.raises(ChainUnavailable, match=r"operator\.keystore\.json"):
        ensure_keys(tmp_path, IDS)


def test_a_damaged_plain_key_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain/operator.key").write_text("0x12")
    with pytest.raises(ChainUnavailable, match="damaged"):
        ensure_accounts(tmp_path, IDS)


def test_keys_are_not_shown_by_accident(tmp_path: Path) -> None:
    keys = ensure_keys(tmp_path, IDS)
    assert keys.operator[2:] not in repr(keys)
    assert keys.admin[2:] not in f"{keys}"
    assert keys.operator not in os.environ.values()
