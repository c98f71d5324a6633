"""One member cluster's API: the only code that talks HTTP to it."""
