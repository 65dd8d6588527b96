"""A sweep as one HTML file: the verdict, the leaderboard, charts, and failures."""
