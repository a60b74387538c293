"""Speech: what the caller said as words, and what the line says as sound."""
