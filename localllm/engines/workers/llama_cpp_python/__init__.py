"""llama-cpp-python behind HTTP, in the child: one request at a time."""
