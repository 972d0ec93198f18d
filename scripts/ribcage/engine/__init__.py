"""How steps are run and judged up to date; nothing in here can change what an output holds."""
