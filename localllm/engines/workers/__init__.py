"""What runs in the child: servers around engines that are libraries, each a process of its own. Never imported by the daemon but for its settings."""
