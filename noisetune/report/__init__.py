"""What came of a sweep as one page: drawn from a frozen view of it, nothing here reads a ledger."""
