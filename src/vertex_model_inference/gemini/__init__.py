"""Gemini as a predictor, the pure part: an ontology becomes a prompt and a response schema, an answer findings."""
