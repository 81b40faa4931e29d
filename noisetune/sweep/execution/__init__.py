"""Where a sweep runs: the adapters to Ray Tune, the trainable, the session, the cluster."""
