"""What operators, triggers, the notifier and the command line have in common."""
