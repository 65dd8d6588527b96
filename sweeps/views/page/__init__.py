"""A sweep as one HTML file: the verdict, the leaderboard, charts that are drawn here as inline SVG, and failures."""
