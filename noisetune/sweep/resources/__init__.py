"""What a trial takes: capacity, calibration, and what of it is `auto`."""
