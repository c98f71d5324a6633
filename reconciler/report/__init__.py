"""``Plan`` and ``RunResult`` -> terminal text, Markdown, JSON, HTML, metrics, Events."""
