"""What has to be done in Microsoft 365 for a configuration to work: the steps in words, with least privilege. Text."""
