"""Statistics, tables and reports over result records; nothing here trains."""
