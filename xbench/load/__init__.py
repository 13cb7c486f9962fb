"""Load: how requests come, what becomes of them, what theory says, and how much a server holds."""
