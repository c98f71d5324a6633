"""One run, from a repository to its result: the steps strung together."""
