"""The vault of the open seal: what it opens, what it notes, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from privacy.at_rest import SecretUnreadable
from server.office.vault import KEY_FILE, Vault

if TYPE_CHECKING:
    from pathlib import Path


def test_a_vault_opens_for_its_own_place_and_until_it_is_renewed(tmp_path: Path) -> None:
    for vault in (Vault(), Vault(tmp_path / KEY_FILE)):
        with pytest.raises(SecretUnreadable, match="there is no key"):
            vault.wrapped(b"secret", "a place")
        vault.renew()
        wrapped = vault.wrapped(b"secret", "a place")
        assert b"secret" not in wrapped
        assert vault.opened(wrapped, "a place") == b"secret"
        with pytest.raises(SecretUnreadable):
            vault.opened(wrapped, "another place")
        vault.renew()
        with pytest.raises(SecretUnreadable):
            vault.opened(wrapped, "a place")


def test_a_vault_notes_one_value_a_name_until_it_is_renewed(tmp_path: Path) -> None:
    one, two = "1" * 64, "2" * 64
    for file in (None, tmp_path / KEY_FILE):
        vault = Vault(file)
        vault.renew()
        wrapped = vault.wrapped(b"secret", "a place")
        for _ in range(2):
            assert vault.note("set", one)
            assert vault.note("chunk 0", two)
            assert not vault.note("set", two)
            assert not vault.note("chunk 0", one)
            assert vault.opened(wrapped, "a place") == b"secret"
            vault = vault if file is None else Vault(file)  # as another process has it
        vault.renew()
        assert vault.note("set", two)
        assert not vault.note("set", one)


def test_a_note_that_a_kill_cut_off_is_none_and_harms_no_other(tmp_path: Path) -> None:
    one, two, file = "1" * 64, "2" * 64, tmp_path / KEY_FILE
    for cut in (1, 31, 32, 40, 63):
        vault = Vault(file)
        vault.renew()
        assert vault.note("set", one)
        whole = file.read_bytes()
        assert vault.note("chunk 0", one)
        file.write_bytes(file.read_bytes()[: len(whole) + cut])
        assert vault.note("chunk 0", two)  # nothing was stored of it yet
        assert vault.note("chunk 1", one)
        assert [vault.note(name, one) for name in ("set", "chunk 0", "chunk 1")] == [
            True, False, True,
        ]  # fmt: skip


def test_a_vault_without_a_key_notes_nothing(tmp_path: Path) -> None:
    for vault in (Vault(), Vault(tmp_path / KEY_FILE)):
        assert not vault.note("set", "1" * 64)
    assert not (tmp_path / KEY_FILE).exists()
