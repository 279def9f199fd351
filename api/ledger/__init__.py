"""The ledger for people: lists, sheets to hand in, the month's report."""
