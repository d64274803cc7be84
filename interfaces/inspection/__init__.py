"""What an editor asks of a graph that it shows: dims, problems, cache marks, values, steps; plain JSON and pictures."""
