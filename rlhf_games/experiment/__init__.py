"""One experiment: its file, its run directory, its loop, its report."""
