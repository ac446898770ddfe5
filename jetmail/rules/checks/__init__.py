"""The rules that ship, one a file; etc/rules.toml loads them by the same door as a third party's."""
