"""Step 3: documents to documents without duplicates, in phases that are tasks with ledgers of their own."""
