"""The ledger, and how messages get from it to the channels."""
