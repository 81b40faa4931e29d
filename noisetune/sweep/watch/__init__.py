"""A sweep while it runs: what its driver knows of it, and what others are shown.

The driver keeps a `Progress`, and writes a `Snapshot` of it into the sweep's folder, at most once
a second. Another terminal, or host, reads that small file: the ledger does not say what a trial
does at the moment; the outbox does, but it grows with the sweep; and only the driver has measured
how long things take. Whether a driver is still there says its lease, not the file.
"""
