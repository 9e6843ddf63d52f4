"""The command line: one file a verb, no logic. The only room that speaks."""
