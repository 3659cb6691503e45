"""What a transfer needs beside the pipeline: lists of changes, and marks to go on from."""
