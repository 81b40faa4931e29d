"""What was asked: a sweep's configuration, its search space, its conditions, samplers, pruners."""
