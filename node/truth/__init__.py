"""The truth after the 250: reports of failed delivery, matched to what was delivered, told to who answers for it."""
