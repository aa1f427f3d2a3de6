"""Small faults put into the C core one at a time, to see whether the tests notice; see README.md."""
