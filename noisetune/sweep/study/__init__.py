"""What Optuna knows: searcher, scheduler, ledger, the driver's lease, budget, pre-training gate."""
