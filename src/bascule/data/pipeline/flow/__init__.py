"""How bytes flow, whatever they are: queues, crews of threads, pace, progress and the wish to stop."""
