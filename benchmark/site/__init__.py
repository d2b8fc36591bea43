"""The leaderboard as a folder of pages that opens without a network.

records, table -> boards (data) -> figures as JSON, pages as text -> one folder, written whole or not at all
"""
