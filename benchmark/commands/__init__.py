"""What the commands do, once their arguments are parsed: a module a command, or two that are one idea."""
