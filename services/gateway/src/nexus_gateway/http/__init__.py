"""OpenAI over HTTP/1.1: everything between the socket and the pipeline."""
