"""Reading and publishing files, locally and on object stores."""
