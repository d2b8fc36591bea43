"""The harness: plan -> run -> record -> statistics -> leaderboard. See ``python -m benchmark --help``."""
