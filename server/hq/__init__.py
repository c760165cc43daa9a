"""HQ: runs the night, combines masked answers, trains the scorecard."""
