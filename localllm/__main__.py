"""`python -m localllm` is `localllm`."""

from localllm.cli.entry import main

main()
