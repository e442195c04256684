"""Personal data taken out of requests that an operator lets cross a privacy zone."""
