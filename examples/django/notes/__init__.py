"""Notes: one table, one page, and the admin to write them in."""
