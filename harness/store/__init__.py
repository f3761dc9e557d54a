"""Results on disk: one folder a run, written so that a crash loses at most the trial that was running."""
