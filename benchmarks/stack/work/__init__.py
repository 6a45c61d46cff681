"""Workers: each keeps one service busy until it is stopped, and counts its actions."""
