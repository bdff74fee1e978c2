"""Scripts that run inside a subject's environment: the standard library and the subject, nothing of ours."""
