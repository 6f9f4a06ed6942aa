"""One session: watching, listening, conversation and answering, wired to lanes and a log."""
