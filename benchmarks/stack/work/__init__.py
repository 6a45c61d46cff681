"""Workers: each keeps one service busy until it is told to stop, and counts what it did."""
