"""Scripts that run inside a subject's environment. Rule: the standard library and the subject, nothing of ours."""
