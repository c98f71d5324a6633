"""One run shared out over several pods: which clusters are whose, and one decision for all."""
